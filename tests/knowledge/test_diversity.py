"""Overlapping windows are answered once, unlike passages are preferred where asked for, neighbours are joined."""

import uuid
from itertools import pairwise

import numpy as np
import pytest

from knowledge.retrieval import search
from knowledge.retrieval.diversity import Candidate, diverse, without_overlap
from knowledge.retrieval.passages import joined
from tenants.scope import acting_for
from tests.knowledge.conftest import attach, ingest, make_store, upload

ONE, OTHER = uuid.uuid4(), uuid.uuid4()


def candidate(start, end, *, file=ONE, score=1.0):
    return Candidate(uuid.uuid4(), file, start, end, score)


def test_half_overlapping_windows_of_one_file_are_answered_once():
    best, before, after, beyond = (
        candidate(400, 1200), candidate(0, 800), candidate(800, 1600), candidate(1200, 2000)
    )  # fmt: skip
    elsewhere = candidate(400, 1200, file=OTHER)
    assert without_overlap([best, before, elsewhere, after, beyond]) == [best, elsewhere, beyond]


def test_a_small_overlap_is_no_reason_to_leave_a_passage_out():
    first, second = candidate(0, 1000), candidate(900, 1900)
    assert without_overlap([first, second]) == [first, second]


def test_marginal_relevance_prefers_what_is_unlike_the_chosen():
    first, twin, unlike = candidate(0, 9, score=1.0), candidate(10, 19, score=0.9), candidate(20, 29, score=0.6)
    vectors = {first.id: np.array([1.0, 0]), twin.id: np.array([0.995, 0.0999]), unlike.id: np.array([0, 1.0])}
    # λ = 0.5: the twin is worth 0.45 - 0.4975 < 0, the other 0.3.
    assert diverse([first, twin, unlike], vectors, mmr_lambda=0.5, limit=2) == [first, unlike]
    assert diverse([first, twin, unlike], vectors, mmr_lambda=1.0, limit=2) == [first, twin]
    assert diverse([], {}, mmr_lambda=0.5, limit=2) == []


def test_joined_pieces_keep_their_place():
    document = "The kiln is hot. The loom is not.\n\nGlass is blown."
    pieces = [(document[a:b], a, b, None) for a, b in ((0, 16), (9, 33), (35, 50))]
    assert joined(pieces) == (document, 0, len(document), None)


@pytest.fixture
def long_document(acme, words):
    text = "\n\n".join(
        f"Paragraph {number} speaks of subject{number} and of nothing else at all. " * 8 for number in range(40)
    )
    with acting_for(acme.tenant.id):
        store = make_store()
        attach(store, upload(text, "long.txt"))
        ingest()
        yield store, text


def test_a_search_answers_no_page_twice_and_names_the_part_that_matched(long_document):
    store, text = long_document
    passages = search(store_ids=[store.id], query="subject20 paragraph", limit=50).passages
    spans = sorted((passage.start, passage.end) for passage in passages)
    assert len(spans) > 1
    for (_, end), (start, until) in pairwise(spans):
        assert end - start < (until - start) / 3
    best = passages[0]
    assert text[best.start : best.end] == best.text
    assert best.matched and best.start <= best.matched.start < best.matched.end <= best.end
    assert best.matched.end - best.matched.start < best.end - best.start


def test_neighbours_come_with_a_passage_without_repetition(long_document):
    store, text = long_document
    [alone] = search(store_ids=[store.id], query="subject20", limit=1).passages
    [wide] = search(store_ids=[store.id], query="subject20", limit=1, neighbors=2).passages
    assert wide.chunk_id == alone.chunk_id
    assert wide.start < alone.start and wide.end > alone.end
    assert wide.text == text[wide.start : wide.end]


def test_diversity_can_be_asked_for(long_document):
    store, _ = long_document
    plain = search(store_ids=[store.id], query="subject20 subject3", limit=3).passages
    varied = search(store_ids=[store.id], query="subject20 subject3", limit=3, mmr_lambda=0.3).passages
    assert len(varied) == len(plain) == 3 and varied[0].chunk_id == plain[0].chunk_id
