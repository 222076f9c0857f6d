"""Search finds by words and by meaning, ranks by fusion, filters, and never crosses stores or tenants."""

import math
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.models import Reservation, UsageRecord
from config.demo.questions import QUESTIONS
from knowledge import attachments
from knowledge.metering import Payer
from knowledge.models import ChunkTerms, StoreTerm
from knowledge.retrieval import metered_search, search
from knowledge.retrieval.questions import HYBRID
from tenants.audit import COMMAND_LINE
from tenants.errors import InvalidRequest, NotFound
from tenants.scope import acting_for, leave_tenant, tenant_scope
from tests.knowledge.conftest import attach, ingest, make_store, upload

DOCUMENTS = {
    "kiln": "The kiln reaches twelve hundred degrees. Porcelain is fired in the kiln for nine hours.",
    "loom": "The loom weaves linen. A shuttle carries the weft across the loom.",
    "forge": "The forge heats iron. The smith hammers iron on an anvil until the iron is shaped.",
    "glass": "Molten glass is blown with a pipe. Glass cools slowly in the annealing oven.",
}


@pytest.fixture
def crafts(acme, words):
    """A store of four documents of one chunk each."""
    with acting_for(acme.tenant.id):
        store = make_store(name="crafts")
        for year, (name, text) in enumerate(DOCUMENTS.items(), 2020):
            attach(store, upload(text, f"{name}.txt"), attributes={"year": year, "craft": name, "hot": name != "loom"})
        ingest()
        yield store


def names(store, query="iron glass loom kiln", **options):
    return [Path(passage.filename).stem for passage in search(store_ids=[store.id], query=query, **options).passages]


def test_the_lexical_list_is_bm25(crafts):
    """Compared with the formula, written out here from Robertson and Zaragoza 2009 with Lucene's idf."""
    counts = {  # stems without stop words, by hand: {document: (length, occurrences of "iron")}
        "kiln": 0, "loom": 0, "forge": 3, "glass": 0,
    }  # fmt: skip
    with tenant_scope():
        lengths = {
            row.chunk.store_file.attributes["craft"]: row.length
            for row in ChunkTerms.objects.select_related("chunk__store_file")
        }
    assert lengths["loom"] == 8  # loom weav linen shuttl carri weft across loom
    idf = math.log(1 + (4 - 1 + 0.5) / (1 + 0.5))
    # "forge" was the third document: the average was taken over the three.
    average = (lengths["kiln"] + lengths["loom"] + lengths["forge"]) / 3
    expected = idf * counts["forge"] * 2.2 / (counts["forge"] + 1.2 * (0.25 + 0.75 * lengths["forge"] / average))
    with tenant_scope() as tenant_id:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT -(weights <#> lexical_query(%s, ARRAY[%s::uuid], 'Irons', ARRAY['english'], ARRAY[1.0])) "
                "FROM knowledge_chunkterms ORDER BY 1 DESC",
                [tenant_id, crafts.id],
            )
            scores = [row[0] for row in cursor.fetchall()]
    assert scores[0] == pytest.approx(expected, rel=1e-5)
    assert scores[1:] == [0, 0, 0]


def test_the_store_counts_its_terms(crafts):
    with tenant_scope():
        crafts.refresh_from_db()
        assert crafts.chunk_count == 4
        assert crafts.term_count == sum(ChunkTerms.objects.values_list("length", flat=True))
        # No word but stop words is in two of the documents.
        assert set(StoreTerm.objects.values_list("chunks", flat=True)) == {1}


def test_words_find_what_holds_them_and_nothing_else(crafts):
    assert names(crafts, "shuttle", ranker="lexical") == ["loom"]
    assert names(crafts, "submarine", ranker="lexical") == []


def test_meaning_ranks_everything(crafts):
    found = search(store_ids=[crafts.id], query="glass pipe blown", ranker="dense").passages
    assert Path(found[0].filename).stem == "glass" and len(found) == 4
    assert 1 >= found[0].score > found[-1].score >= 0


def test_the_fusion_scores_ranks(crafts):
    found = search(store_ids=[crafts.id], query="shuttle weft loom linen").passages
    # First in both lists: all of 2/11. The others are in the dense list only, at ranks 2, 3, 4.
    assert [passage.score for passage in found] == pytest.approx([1, 11 / 12 / 2, 11 / 13 / 2, 11 / 14 / 2])
    assert [names(crafts, "shuttle weft loom linen", ranker=ranker) for ranker in HYBRID] == [
        [Path(passage.filename).stem for passage in found]
    ] * 4
    assert len(search(store_ids=[crafts.id], query="shuttle weft loom linen", score_threshold=0.6).passages) == 1


def test_several_wordings_are_one_search(crafts):
    result = search(store_ids=[crafts.id], query=["shuttle loom", "molten glass pipe"])
    assert {Path(passage.filename).stem for passage in result.passages[:2]} == {"loom", "glass"}
    assert result.embedding_tokens == 5


def test_passages_name_their_place(crafts):
    [best, *_] = search(store_ids=[crafts.id], query="anvil", limit=1).passages
    assert best.text == DOCUMENTS["forge"][best.start : best.end]
    assert best.attributes == {"year": 2022, "craft": "forge", "hot": True} and best.page is None


FILTERS = [
    ({"type": "eq", "key": "craft", "value": "kiln"}, {"kiln"}),
    ({"type": "ne", "key": "craft", "value": "kiln"}, {"loom", "forge", "glass"}),
    ({"type": "eq", "key": "year", "value": 2021.0}, {"loom"}),
    ({"type": "gt", "key": "year", "value": 2021}, {"forge", "glass"}),
    ({"type": "gte", "key": "year", "value": 2021}, {"loom", "forge", "glass"}),
    ({"type": "lt", "key": "year", "value": 2021}, {"kiln"}),
    ({"type": "lte", "key": "year", "value": 2021}, {"kiln", "loom"}),
    ({"type": "gt", "key": "craft", "value": "glass"}, {"kiln", "loom"}),
    ({"type": "gt", "key": "craft", "value": 5}, set()),
    ({"type": "eq", "key": "hot", "value": False}, {"loom"}),
    ({"type": "in", "key": "craft", "value": ["loom", "glass", "none"]}, {"loom", "glass"}),
    ({"type": "nin", "key": "craft", "value": ["loom", "glass"]}, {"kiln", "forge"}),
    ({"type": "eq", "key": "missing", "value": 1}, set()),
    ({"type": "ne", "key": "missing", "value": 1}, set(DOCUMENTS)),
    ({"type": "nin", "key": "missing", "value": [1]}, set(DOCUMENTS)),
    (
        {
            "type": "or",
            "filters": [
                {
                    "type": "and",
                    "filters": [
                        {"type": "eq", "key": "hot", "value": True},
                        {"type": "lt", "key": "year", "value": 2022},
                    ],
                },
                {"type": "eq", "key": "craft", "value": "glass"},
            ],
        },
        {"kiln", "glass"},
    ),
    ({"type": "eq", "key": "' OR true --", "value": "%s"}, set()),
]  # fmt: skip


def test_filters_choose_by_attributes(crafts):
    for filters, expected in FILTERS:
        assert set(names(crafts, filters=filters)) == expected, filters
        assert set(names(crafts, filters=filters, ranker="lexical")) == expected, filters


NO_FILTERS = [
    {"type": "like", "key": "a", "value": "b"},
    {"type": "eq", "key": 5, "value": "b"},
    {"type": "eq", "key": "a", "value": {"b": 1}},
    {"type": "eq", "key": "a", "value": None},
    {"type": "in", "key": "a", "value": "b"},
    {"type": "in", "key": "a", "value": []},
    {"type": "and", "filters": []},
    {"type": "or", "filters": ["x"]},
    {"type": "eq", "key": "a\0", "value": 1},
    {"type": "gt", "key": "a", "value": float("nan")},
    {"type": "and", "filters": [{"type": "and", "filters": [{"type": "and", "filters": [
        {"type": "and", "filters": [{"type": "and", "filters": [{"type": "eq", "key": "a", "value": 1}]}]}]}]}]},
]  # fmt: skip


def test_what_is_no_filter_is_refused(crafts):
    for filters in NO_FILTERS:
        with pytest.raises(InvalidRequest) as refused:
            names(crafts, filters=filters)
        assert refused.value.param == "filters", filters


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=st.text(max_size=200))
def test_any_query_is_answered_or_refused(crafts, query):
    try:
        search(store_ids=[crafts.id], query=query)
    except InvalidRequest as refused:
        assert refused.param == "query"


@pytest.mark.parametrize(
    "options", [{"limit": 0}, {"limit": 51}, {"ranker": "best"}, {"score_threshold": 1.1}, {"query": []}]
)
def test_what_is_out_of_range_is_refused(crafts, options):
    with pytest.raises(InvalidRequest):
        search(store_ids=[crafts.id], **{"query": "iron", **options})


def test_several_stores_are_searched_together(crafts):
    other = make_store()
    attach(other, upload("A potter's wheel turns clay.", "wheel.txt"))
    ingest()
    found = search(store_ids=[crafts.id, other.id], query="potter clay kiln", limit=2).passages
    assert {Path(passage.filename).stem for passage in found} == {"wheel", "kiln"}
    assert {Path(passage.filename).stem for passage in search(store_ids=[other.id], query="kiln").passages} == {"wheel"}


def test_an_updated_attribute_counts_at_once(crafts):
    [best, *_] = search(store_ids=[crafts.id], query="anvil").passages
    attachments.describe(store_id=crafts.id, file_id=best.file_id, attributes={"year": 1}, by=COMMAND_LINE)
    assert names(crafts, filters={"type": "eq", "key": "year", "value": 1}) == ["forge"]


def test_another_tenants_store_answers_like_a_missing_one(crafts, globex):
    with leave_tenant(), acting_for(globex.tenant.id):
        mine = make_store()
        for stores in ([crafts.id], [uuid.uuid4()], [mine.id, crafts.id]):
            with pytest.raises(NotFound) as refused:
                search(store_ids=stores, query="iron")
            assert refused.value.message == "No such VectorStore object."


def test_a_metered_search_charges_its_tokens(crafts, acme):
    result = metered_search(
        payer=Payer(None, "USD"), now=datetime.now(UTC), store_ids=[crafts.id], query="three small words"
    )
    assert result.passages and result.embedding_tokens == 3
    with tenant_scope():
        assert UsageRecord.objects.get(operation="search").quantity == 3
        assert not Reservation.objects.filter(state="open").exists()


def test_the_real_model_finds_the_demos_answers(acme, minilm):
    """The whole way on real parts: PDF, DOCX, HTML and Markdown, the embedded model, hybrid search."""
    with acting_for(acme.tenant.id):
        store = make_store()
        for path in sorted((Path(__file__).parents[2] / "config" / "demo" / "documents").iterdir()):
            attach(store, upload(path.read_bytes(), path.name))
        ingest()
        answerable = [question for question in QUESTIONS if question.filename]
        for question in answerable:
            found = search(store_ids=[store.id], query=question.text, limit=3).passages
            texts = [" ".join(passage.text.split()) for passage in found if passage.filename == question.filename]
            assert any(question.expected_phrase in text for text in texts), question.text


def test_without_a_threshold_nothing_is_left_out_even_what_points_away(crafts, words):
    """Vectors of the four documents are turned round, so that every cosine is below zero."""
    with tenant_scope(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE knowledge_embedding SET embedding = embedding * array_fill(-1, ARRAY[vector_dims(embedding)])::halfvec"
        )
    found = search(store_ids=[crafts.id], query="kiln", ranker="dense").passages
    assert len(found) == len(DOCUMENTS)
    assert {passage.score for passage in found} == {0.0}
    assert search(store_ids=[crafts.id], query="kiln", ranker="dense", score_threshold=0.01).passages == []
