"""Languages are told, words are stemmed by them, and what a person would type finds what a document holds."""

from pathlib import Path

import pytest
from django.db import connection

from knowledge.languages import CONFIGURATIONS, SIMPLE, languages_of, likely, likely_among
from knowledge.models import Chunk, StoreTerm
from knowledge.retrieval import search
from tenants.scope import acting_for, tenant_scope
from tests.knowledge.conftest import attach, ingest, make_store, upload

TEXTS = {
    "english": "The warranty for cameras and filter wheels lasts three years from the day of delivery.",
    "german": "Die Gewährleistung für Kameras und Filterräder beträgt drei Jahre ab dem Tag der Lieferung.",
    "french": "La garantie des caméras et des roues à filtres est de trois ans à compter de la livraison.",
    "spanish": "La garantía de las cámaras y de las ruedas de filtros es de tres años desde la entrega.",
    "russian": "Гарантия на камеры и колёса светофильтров действует три года со дня поставки.",
    "turkish": "Kameralar ve filtre tekerlekleri için garanti süresi teslim tarihinden itibaren üç yıldır.",
    SIMPLE: "相机和滤光轮的保修期为自交货之日起三年。",
}


@pytest.mark.parametrize("language", TEXTS)
def test_a_text_is_told_by_its_language(language):
    assert languages_of([TEXTS[language]]) == [language]


def test_a_piece_that_does_not_tell_is_in_the_documents_language():
    assert languages_of([TEXTS["german"], "AX-1200/B | 4711 | 3,50", ""]) == ["german"] * 3
    assert languages_of(["4711 0815", ""]) == ["english"] * 2
    assert languages_of([TEXTS["german"], TEXTS["french"]]) == ["german", "french"]


def test_a_query_is_read_in_the_languages_that_the_stores_hold():
    assert likely_among("anything", {"french": 3}) == {"french": 1.0}
    both = {"english": 90, "german": 10}
    assert likely_among("Was ist die Garantie", both)["german"] > 0.95
    assert likely_among("what is the warranty", both)["english"] > 0.95
    assert likely_among("4711", both) == pytest.approx({"english": 0.9, "german": 0.1})
    assert likely("4711") == {} and likely_among("x", {}) == {}


def test_postgres_has_every_configuration(db):
    with connection.cursor() as cursor:
        cursor.execute("SELECT cfgname FROM pg_ts_config")
        assert {*CONFIGURATIONS.values(), SIMPLE} <= {row[0] for row in cursor.fetchall()}


@pytest.fixture
def polyglot(acme, words):
    """A store with a document in each language."""
    with acting_for(acme.tenant.id):
        store = make_store(name="polyglot")
        for language, text in TEXTS.items():
            attach(store, upload(text, f"{language}.txt"))
        ingest()
        yield store


def found(store, query):
    passages = search(store_ids=[store.id], query=query, ranker="lexical").passages
    return [Path(passage.filename).stem for passage in passages]


OTHER_FORMS = [
    ("warranties of the camera", "english"),
    ("die Gewährleistungen", "german"),
    ("Lieferungen", "german"),
    ("la camera en français: caméra, livraisons", "french"),
    ("las garantías de las cámaras", "spanish"),
    ("гарантии на камеру", "russian"),
    ("garantileri süreleri", "turkish"),
    ("保修期", SIMPLE),
    ("交货", SIMPLE),
]


def test_other_forms_of_a_word_find_it_in_each_language(polyglot):
    assert [(query, found(polyglot, query)[:1]) for query, _ in OTHER_FORMS] == [
        (query, [language]) for query, language in OTHER_FORMS
    ]


def test_the_store_counts_its_languages_and_forgets_them(polyglot):
    from knowledge import attachments
    from tenants.audit import COMMAND_LINE

    with tenant_scope():
        polyglot.refresh_from_db()
        assert polyglot.languages == dict.fromkeys(TEXTS, 1)
        german = Chunk.objects.select_related("store_file").get(language="german").store_file.file_id
    attachments.detach(store_id=polyglot.id, file_id=german, by=COMMAND_LINE)
    with tenant_scope():
        polyglot.refresh_from_db()
    assert polyglot.languages == dict.fromkeys(set(TEXTS) - {"german"}, 1)
    assert found(polyglot, "Gewährleistung") == []
    with tenant_scope():
        assert StoreTerm.objects.filter(chunks__lt=0).count() == 0


def test_a_copy_of_a_document_is_in_its_language(polyglot):
    copy = make_store(name="copy")
    attach(copy, upload(TEXTS["german"], "german.txt"))
    ingest()
    with tenant_scope():
        copy.refresh_from_db()
    assert copy.languages == {"german": 1} and found(copy, "Gewährleistungen") == ["german"]


DOCUMENT = (
    "Order the pump AX-1200/B from max.muster@example.com before 2024-01-31. It weighs 1,460 g and needs café-grade "
    "water, see https://example.org/manuals/pump. Run init_pump() from <pump.h>, firmware v4.9.1, in real-time. "
    "The soft\u00adhyphen and the zero\u200bwidth space are not seen; an e-mail confirms the ﬁnal price. "
    "東京都の倉庫から発送します。제품은 서울에서 배송됩니다. สินค้าจัดส่งจากกรุงเทพ"
)


QUERIES = [
    "AX-1200/B", "ax-1200/b", "AX1200B", "AX 1200", "ax-1200", "max.muster@example.com", "muster", "2024-01-31", "1460",
    "1,460", "cafe", "CAFÉ", "example.org", "init_pump", "pump.h", "v4.9.1", "4.9.1", "realtime", "real time", "softhyphen",
    "zerowidth", "email", "E-Mail", "final", "東京", "倉庫", "서울", "배송", "กรุงเทพ", "\u200bpump\u200b",
]  # fmt: skip


def test_identifiers_accents_and_unspaced_scripts_are_found(acme, words):
    with acting_for(acme.tenant.id):
        store = make_store()
        attach(store, upload(DOCUMENT, "pump.txt"))
        attach(store, upload("A kiln fires porcelain at twelve hundred degrees.", "kiln.txt"))
        ingest()
        assert [query for query in QUERIES if found(store, query) != ["pump"]] == []
