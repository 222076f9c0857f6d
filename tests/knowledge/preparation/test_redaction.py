"""Personal data is replaced by its kind, ordinary numbers stay, and pages are where their text is."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge.parsing.documents import PageSpan, ParsedDocument, UnreadableFile
from knowledge.preparation import redaction
from knowledge.preparation.recognisers import ENTITIES, Find
from knowledge.preparation.redaction import OVERLAP, SLICE, Redacted, placeholder, redact, redacted_document
from knowledge.preparation.settings import check_preparation, name_of, redaction_of
from tenants.errors import InvalidRequest


def asks(**pii):
    return redaction_of(check_preparation({"pii": {"entities": "all", **pii}}))


ALL = asks()

#: Values from the issuers' own documentation or made by their rules; (kind, value, text around it).
PLANTED = [
    ("EMAIL_ADDRESS", "jane.doe+news@mail.example.co.uk", "write to {} today"),
    ("EMAIL_ADDRESS", "jürgen@müller.example", "({})"),
    ("EMAIL_ADDRESS", "jane\\_doe@example.com", "Markdown: {}"),
    ("EMAIL_ADDRESS", "a@b.example", "From: A <{}>"),
    ("CREDIT_CARD", "4111 1111 1111 1111", "card {} 05/27"),
    ("CREDIT_CARD", "4111111111111111", "card {}."),
    ("CREDIT_CARD", "3782-822463-10005", "Amex {}"),
    ("CREDIT_CARD", "5555\u00a05555\u00a05555\u00a04444", "no-break spaces {}"),
    ("CREDIT_CARD", "4111\u200b1111\u200b1111\u200b1111", "invisible {} between"),
    ("CREDIT_CARD", "４１１１１１１１１１１１１１１１", "wide {}"),
    ("CREDIT_CARD", "5500 0000 0000 0004", "| {} | 2026 |"),
    ("IBAN_CODE", "GB82 WEST 1234 5698 7654 32", "to {} and then"),
    ("IBAN_CODE", "DE89370400440532013000", "IBAN:{}"),
    ("IBAN_CODE", "NO9386011117947", "{}"),
    ("IP_ADDRESS", "203.0.113.77", "from {} at noon"),
    ("IP_ADDRESS", "2001:db8::ff00:42:8329", "host {}"),
    ("MAC_ADDRESS", "00:1B:44:11:3A:B7", "nic {}"),
    ("PHONE_NUMBER", "+49 30 901820", "ring {} or write"),
    ("PHONE_NUMBER", "+1-415-555-2671", "{}"),
    ("PHONE_NUMBER", "(212) 664-7665", "at {}."),
    ("PHONE_NUMBER", "020 7946 0958", "office {}"),
    ("PHONE_NUMBER", "030901820", "Telefon: {}"),
    ("PHONE_NUMBER", "01 42 68 53 00", "appelez le {}"),
    ("US_SSN", "536-90-4399", "SSN {}"),
    ("US_SSN", "536904399", "social security no. {}"),
    ("US_ITIN", "912-90-3456", "{}"),
    ("UK_NHS", "943 476 5919", "patient {}"),
    ("UK_NHS", "9434765919", "NHS number {}"),
    ("UK_NINO", "AB 12 34 56 C", "NI {}"),
    ("IE_PPS", "6433435F", "PPS {}"),
    ("DE_TAX_ID", "36 574 261 809", "{}"),
    ("DE_TAX_ID", "36574261809", "Steuer-ID {}"),
    ("FR_NIR", "2 95 10 99 126 111 93", "{}"),
    ("ES_NIF", "54362315-K", "{}"),
    ("ES_NIE", "X2482300W", "{}"),
    ("IT_FISCAL_CODE", "RCCMNL83S18D969H", "{}"),
    ("NL_BSN", "111222333", "BSN {}"),
    ("BE_NN", "85.07.30-033 28", "{}"),
    ("CH_AHV", "756.9217.0769.85", "{}"),
    ("PL_PESEL", "44051401359", "PESEL: {}"),
    ("SE_PERSONNUMMER", "880320-0016", "{}"),
    ("FI_HETU", "131052-308T", "{}"),
    ("DK_CPR", "211062-5629", "CPR {}"),
    ("NO_FODSELSNUMMER", "151086 95088", "{}"),
    ("BR_CPF", "390.533.447-05", "{}"),
    ("CA_SIN", "123-456-782", "SIN {}"),
    ("MX_CURP", "BOXW310820HNERXN09", "{}"),
    ("AU_TFN", "123 456 782", "TFN {}"),
    ("IN_AADHAAR", "2341 2341 2346", "{}"),
    ("IN_PAN", "ACUPA7085R", "{}"),
    ("CN_RIC", "360426199101010071", "{}"),
    ("KR_RRN", "971013-9019902", "{}"),
    ("ZA_ID", "7503305044089", "ID {}"),
    ("TR_TCKN", "17291716060", "TCKN {}"),
    ("CRYPTO", "1NEDqZPvTWRaoho48qXuLLsrYomMXPABfD", "pay {}"),
]


@pytest.mark.parametrize(("entity", "value", "around"), PLANTED, ids=lambda value: str(value)[:24])
def test_a_planted_value_is_replaced_by_its_kind(entity, value, around):
    assert redact(around.format(value), ALL).text == around.format(f"<{entity}>")


def test_every_kind_is_planted():
    assert {entity for entity, _, _ in PLANTED} == set(ENTITIES)


def test_only_what_is_asked_for_is_replaced():
    text = "jane@example.com, 203.0.113.77"
    assert redact(text, asks(entities=["IP_ADDRESS"])).text == "jane@example.com, <IP_ADDRESS>"
    assert redact("call (212) 664-7665", asks(phone_regions=["FR"])).text == "call (212) 664-7665"


def test_values_side_by_side_are_each_found():
    cards = ["4111 1111 1111 1111", "5555 5555 5555 4444", "3782 822463 10005"]
    assert redact(" ".join(cards), ALL).text == " ".join(["<CREDIT_CARD>"] * 3)
    assert redact("12 " + " ".join(cards * 20), ALL).text == "12 " + " ".join(["<CREDIT_CARD>"] * 60)
    assert (
        redact("a@b.example,c@d.example;e@f.example", ALL).text
        == ",".join(["<EMAIL_ADDRESS>"] * 2) + ";<EMAIL_ADDRESS>"
    )


@pytest.mark.parametrize(
    "text",
    [
        "In 1976, 1,460 abstracts and 76 questions (2.1.1.3) took 12:30:45 hours on 2026-11-21.",
        "Section 1.2.3.4 of version 2.10.0.1",
        "1.2.3.4 Scope of the agreement",
        "ISBN 978-3-16-148410-0, DOI 10.1000/182, ISSN 2049-3630",
        "Order 1234567890, invoice 20261121001, part 4711-0815-2",
        "Card 4111 1111 1111 1112 has a wrong check digit",
        "GB82 WEST 1234 5698 7654 33 has one too",
        "3.14159265358979323846, 6.02214076e23, 299792458",
        "std::vector<int>, @decorator, user@host, a @ b, me@",
        "pp. 123-145, vol. 12(3), 100-200-300",
        "0000 0000 0000 0000",
        "12.345.678,90 EUR and 1 234 567 890",
        "1947 1948 1949 1950 1951 1952",
    ],
)
def test_ordinary_numbers_stay(text):
    assert redact(text, ALL).text == text


@pytest.mark.parametrize("distance", [0, 1, OVERLAP // 2 - 10, OVERLAP - 20, OVERLAP, SLICE - 5])
def test_a_value_at_the_border_of_a_slice_is_found_once(distance):
    for border in (SLICE, SLICE - OVERLAP, SLICE - OVERLAP // 2):
        before = "word " * 10_000
        text = before[: border - distance - 1] + " jane.doe@example.com " + "word " * 5_000
        done = redact(text, ALL)
        assert [find.entity for find in done.finds] == ["EMAIL_ADDRESS"]
        assert "jane" not in done.text and "example" not in done.text


def test_pages_and_title_follow():
    text = "Mail jane@example.com here.\n\nCall +49 30 901820 there.\n\nEnd."
    first, second = text.index("\n\n"), text.rindex("\n\n")
    pages = (PageSpan(1, 0, first), PageSpan(2, first + 2, second), PageSpan(3, second + 2, len(text)))
    document = ParsedDocument(text, pages, "Letter of jane@example.com", "text/plain", warnings=("a@b.example.pdf",))
    done = redacted_document(document, ALL)
    assert done.title == "Letter of <EMAIL_ADDRESS>" and done.warnings == ("<EMAIL_ADDRESS>",)
    assert [done.text[page.start : page.end] for page in done.pages] == [
        "Mail <EMAIL_ADDRESS> here.", "Call <PHONE_NUMBER> there.", "End.",
    ]  # fmt: skip


def test_a_page_that_ends_within_a_value_ends_at_its_placeholder():
    done = Redacted("a <X> b", [Find(2, 10, "X")])
    assert [done.place()(offset) for offset in (0, 2, 5, 9, 10, 12)] == [0, 2, 2, 2, 5, 7]


_WORDS = st.text(alphabet="abc xyz\n", min_size=1, max_size=20)
_VALUES = st.sampled_from([(entity, value) for entity, value, around in PLANTED if around == "{}"])


@settings(deadline=None)
@given(st.lists(st.tuples(_WORDS, _VALUES), max_size=8), _WORDS)
def test_what_is_not_personal_stays_where_it_was(parts, end):
    text = "".join(f"{words} | {value} | " for words, (_, value) in parts) + end
    expected = "".join(f"{words} | <{entity}> | " for words, (entity, _) in parts) + end
    done = redact(text, ALL)
    assert done.text == expected
    moved = done.place()
    # Every character outside the finds is found again at its new place.
    outside = [i for i in range(len(text)) if not any(find.start <= i < find.end for find in done.finds)]
    assert all(done.text[moved(i)] == text[i] for i in outside)
    assert moved(len(text)) == len(done.text)


def test_redacting_again_changes_nothing():
    text = "\n".join(around.format(value) for _, value, around in PLANTED)
    once = redact(text, ALL).text
    assert redact(once, ALL).text == once
    assert not any(value in once for _, value, _ in PLANTED)


@pytest.mark.parametrize(
    "unit", ["@", "a@", "1 ", "12 34 ", "1.", "4-", "(1", "a:", ":", "ab12", "GB82 WEST ", "1111 2222 ", "\u200b", "+1"]
)
def test_hostile_text_takes_time_in_proportion(unit):
    def seconds(size):
        text = unit * (size // len(unit))
        started = time.thread_time()
        redact(text, ALL)
        return time.thread_time() - started

    seconds(2_000)
    small, large = seconds(SLICE), seconds(4 * SLICE)
    assert large < 12 * small + 0.2


def test_what_takes_too_long_does_not_enter_the_store(monkeypatch):
    monkeypatch.setattr(redaction, "SECONDS", -1.0)
    with pytest.raises(UnreadableFile):
        redact("anything", ALL)


@pytest.mark.parametrize(
    ("value", "param"),
    [
        ("pii", "preparation"),
        ([], "preparation"),
        ({"pii": None}, "preparation"),
        ({"pii": {"entities": "all"}, "other": 1}, "preparation"),
        ({"pii": {}}, "preparation.pii.entities"),
        ({"pii": {"entities": []}}, "preparation.pii.entities"),
        ({"pii": {"entities": "ALL"}}, "preparation.pii.entities"),
        ({"pii": {"entities": ["EMAIL"]}}, "preparation.pii.entities"),
        ({"pii": {"entities": [1]}}, "preparation.pii.entities"),
        ({"pii": {"entities": "all", "names": True}}, "preparation.pii"),
        ({"pii": {"entities": "all", "phone_regions": "DE"}}, "preparation.pii.phone_regions"),
        ({"pii": {"entities": "all", "phone_regions": ["XX"]}}, "preparation.pii.phone_regions"),
        ({"pii": {"entities": "all", "phone_regions": ["DE"] * 11}}, "preparation.pii.phone_regions"),
    ],
)
def test_a_preparation_that_cannot_be_is_refused(value, param):
    with pytest.raises(InvalidRequest) as refusal:
        check_preparation(value)
    assert refusal.value.param == param


def test_equal_preparations_have_one_name():
    def name(**pii):
        return name_of(check_preparation({"pii": pii}))

    assert check_preparation(None) == {} and name_of({}) == ""
    assert name(entities="all") == name(entities=list(reversed(ENTITIES)))
    assert name(entities="all") != name(entities=["US_SSN"]) != name(entities=["US_SSN"], phone_regions=["DE"])
    assert len(name(entities="all")) <= 64


def test_the_placeholder_names_the_kind():
    assert placeholder(Find(0, 1, "US_SSN")) == "<US_SSN>"
