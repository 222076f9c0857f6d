"""Every knowledge endpoint × every absurd body: always a 4xx in the right shape, never a 5xx, and nothing is changed."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test import Client

from knowledge.models import File, FileBatch, VectorStore, VectorStoreFile
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.knowledge.conftest import ingest

NESTED_LIST = b"[" * 100_000 + b"]" * 100_000
NESTED_OBJECT = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
#: What is no JSON object, or has what no field holds: refused wherever a body is read.
MALFORMED = {
    "not JSON": b"{nope",
    "cut off": b'{"query": "x',
    "two values": b"{} {}",
    "a list": b"[]",
    "a number": b"5",
    "null": b"null",
    "a string": b'"x"',
    "not UTF-8": b'{"name": "\xff\xfe"}',
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "NUL": b'{"name": "a\\u0000b", "query": "a\\u0000b"}',
    "NUL in a key": b'{"metadata": {"a\\u0000": "b"}}',
    "lone surrogate": b'{"name": "\\ud800", "query": "\\udfff"}',
    "lone surrogate in a key": b'{"\\ud800": 1}',
    "lists 100,000 deep": NESTED_LIST,
    "objects 100,000 deep": NESTED_OBJECT,
    "objects 1,000 deep in a member": b'{"filters": ' + b'{"a":' * 1000 + b"1" + b"}" * 1000 + b"}",
    "NaN": b'{"max_num_results": NaN}',
    "Infinity": b'{"score_threshold": Infinity, "x": -Infinity}',
    "a number beyond floats": b'{"attributes": {"a": 1e400}}',
    "a number of 5,000 digits": b'{"x": ' + b"9" * 5000 + b"}",
}
#: endpoint → method and path; those with a body that is read.
READING = {
    "create store": ("post", "/v1/vector_stores"),
    "update store": ("post", "/v1/vector_stores/{store}"),
    "search": ("post", "/v1/vector_stores/{store}/search"),
    "attach": ("post", "/v1/vector_stores/{store}/files"),
    "update attachment": ("post", "/v1/vector_stores/{store}/files/{file}"),
    "create batch": ("post", "/v1/vector_stores/{store}/file_batches"),
}
NOT_READING = {
    "get store": ("get", "/v1/vector_stores/{store}"),
    "cancel batch": ("post", "/v1/vector_stores/{store}/file_batches/fb_x/cancel"),
    "list": ("get", "/v1/vector_stores/{store}/files"),
    "delete a missing store": ("delete", "/v1/vector_stores/vs_x"),
    "get file": ("get", "/v1/files/{file}"),
}


@dataclass(frozen=True)
class Library:
    """A store with one searchable file."""

    member: Member
    store: str
    file: str

    def send(self, endpoint: tuple[str, str], body: bytes, content_type: str = "application/json") -> HttpResponse:
        """As a client would; a defect answers 500 instead of raising."""
        method, path = endpoint
        return Client(raise_request_exception=False).generic(
            method.upper(),
            path.format(store=self.store, file=self.file),
            body,
            content_type=content_type,
            headers={"authorization": f"Bearer {self.member.key}"},
        )

    def search(self, **body: Any) -> HttpResponse:
        return self.send(READING["search"], json.dumps({"query": "heron", **body}).encode())

    def contents(self) -> list[Any]:
        """What the tenant has."""
        with acting_for(self.member.tenant.id), tenant_scope():
            return [list(model.objects.order_by("id").values()) for model in (File, FileBatch, VectorStoreFile)] + [
                list(VectorStore.objects.order_by("id").values_list("id", "name", "metadata", "expires_after_days"))
            ]


@pytest.fixture
def library(acme: Member, words: None) -> Library:
    client = Client(headers={"authorization": f"Bearer {acme.key}"})
    sent = SimpleUploadedFile("heron.txt", b"The heron nests on the northern island.")
    file = client.post("/v1/files", {"file": sent, "purpose": "assistants"}).json()["id"]
    made = client.post("/v1/vector_stores", {"file_ids": [file]}, content_type="application/json")
    ingest()
    return Library(acme, made.json()["id"], file)


@contextmanager
def case(*values: Any) -> Iterator[None]:
    """Say which of many cases failed: each costs milliseconds, a store of its own would cost half a second."""
    try:
        yield
    except AssertionError as error:
        error.add_note(f"case: {ascii(values)[:200]}")
        raise


def check_refused(answer: HttpResponse, *statuses: int) -> dict[str, Any]:
    """An error in OpenAI's shape."""
    assert answer.status_code in (statuses or range(400, 500)), answer.content[:500]
    body = json.loads(answer.content)
    assert body.keys() == {"error"} and body["error"].keys() == {"message", "type", "param", "code"}
    assert body["error"]["type"] == "invalid_request_error" and len(body["error"]["message"]) < 2000
    return body["error"]


def test_a_malformed_body_is_refused_wherever_it_is_read(library: Library) -> None:
    for endpoint in READING:
        with case(endpoint):
            before = library.contents()
            for name, body in MALFORMED.items():
                answer = library.send(READING[endpoint], body)
                assert answer.status_code == 400, (name, answer.status_code, answer.content[:300])
                check_refused(answer)
            assert library.contents() == before


def test_a_body_that_nobody_reads_harms_nobody(library: Library) -> None:
    for endpoint in NOT_READING:
        with case(endpoint):
            for body in MALFORMED.values():
                assert library.send(NOT_READING[endpoint], body).status_code < 500


OTHER_CONTENT_TYPES: list[Any] = [
    "text/plain",
    "application/xml",
    "application/x-www-form-urlencoded",
    "",
    "x",
    "\\",
]


def test_a_body_of_another_type_is_refused(library: Library) -> None:
    for content_type in OTHER_CONTENT_TYPES:
        with case(content_type):
            for endpoint in READING.values():
                check_refused(library.send(endpoint, b'{"query": "heron"}', content_type), 400, 415)


ABSURD: list[Any] = [None, True, -1, 1.5, 1e308, "", "x" * 100_000, [], [[]], [None], {}, {"a": {"b": 1}}]
MEMBERS = {
    "create store": "name description metadata expires_after file_ids chunking_strategy embedding_model",
    "update store": "name metadata expires_after embedding_model",
    "search": "query filters max_num_results ranking_options rewrite_query",
    "attach": "file_id attributes chunking_strategy replaces allowed_groups",
    "update attachment": "attributes allowed_groups",
    "create batch": "file_ids files attributes chunking_strategy allowed_groups",
}


def test_no_value_of_any_member_breaks_anything(library: Library) -> None:
    for endpoint, members in MEMBERS.items():
        for member in members.split():
            for value in ABSURD:
                body = {"query": "heron", "file_id": library.file, member: value}
                answer = library.send(READING[endpoint], json.dumps(body).encode())
                with case(endpoint, member, value):
                    assert answer.status_code < 500
                    if answer.status_code >= 400:
                        check_refused(answer)


NUMBER_FIELDS = [
    ("max_num_results", value) for value in (True, False, 0, -1, 51, 1.5, 2**62, [], {}, "NaN", "1e400")
] + [("ranking_options", {"score_threshold": value}) for value in (True, "x", -0.1, 1.1, 2**62, [], "nan", "inf")]


def test_a_number_is_a_number_within_its_bounds(library: Library) -> None:
    for member, value in NUMBER_FIELDS:
        with case(member, value):
            error = check_refused(library.search(**{member: value}), 400)
            assert error["param"].startswith(member)


def deep(levels: int) -> dict[str, Any]:
    node: dict[str, Any] = {"type": "eq", "key": "a", "value": 1}
    for _ in range(levels):
        node = {"type": "and", "filters": [node]}
    return node


FILTERS: list[Any] = [
    [],
    "a = 1",
    {"type": "eq"},
    {"type": "eq", "key": "a"},
    {"type": "eq", "key": 5, "value": 1},
    {"type": "eq", "key": "a", "value": None},
    {"type": "eq", "key": "a", "value": []},
    {"type": "eq", "key": "a", "value": {"b": 1}},
    {"type": "gt", "key": "a", "value": None},
    {"type": "in", "key": "a", "value": 1},
    {"type": "in", "key": "a", "value": []},
    {"type": "in", "key": "a", "value": [[1]]},
    {"type": "in", "key": "a", "value": list(range(101))},
    {"type": "like", "key": "a", "value": "%"},
    {"type": ["eq"], "key": "a", "value": 1},
    {"type": {"a": 1}, "key": "a", "value": 1},
    {"type": "and"},
    {"type": "and", "filters": {}},
    {"type": "and", "filters": []},
    {"type": "and", "filters": [1]},
    {"type": "and", "filters": [{"type": "eq", "key": "a", "value": 1}] * 101},
    {"type": "or", "filters": [{"type": "and", "filters": [{"type": "eq", "key": "a", "value": 1}] * 60}] * 60},
    {"type": "eq", "key": "x" * 100_000, "value": 1},
    {"type": "eq", "key": "a", "value": "x" * 100_000},
    {"type": "eq", "key": "a", "value": 10**4000},
    {"type": "eq", "key": "a", "value": 10**400},
    deep(5),
    deep(60),
]


def test_a_filter_a_thousand_levels_deep_is_refused(library: Library) -> None:
    node = b'{"type": "and", "filters": [' * 1_000 + b'{"type": "eq", "key": "a", "value": 1}' + b"]}" * 1_000
    check_refused(library.send(READING["search"], b'{"query": "heron", "filters": ' + node + b"}"), 400)


def test_a_filter_that_is_none_is_refused(library: Library) -> None:
    for filters in FILTERS:
        with case(filters):
            check_refused(library.search(filters=filters), 400)


A_FILTER_IS_DATA_WHATEVER_IT_S_FILTERS: list[Any] = [
    {"type": "eq", "key": "'; DROP TABLE knowledge_chunk; --", "value": "%s"},
    {"type": "eq", "key": "%(a)s", "value": "{}"},
    {"type": "ne", "key": "a", "value": 10**18},
    {"type": "gt", "key": "a", "value": 1e-308},
    {"type": "in", "key": "\u202e\u200b", "value": [True, 1, 1.0, "1"]},
    deep(4),
]


def test_a_filter_is_data_whatever_it_says(library: Library) -> None:
    for filters in A_FILTER_IS_DATA_WHATEVER_IT_S_FILTERS:
        with case(filters):
            assert library.search(filters=filters).status_code == 200


A_QUERY_THAT_IS_NONE_IS_REFUSE_QUERY: list[Any] = [
    "",
    " \n\t",
    [],
    [""],
    ["a"] * 101,
    ["x", 5],
    5,
    None,
    True,
    {},
    "x" * 100_001,
    ["é" * 60_000] * 2,
]


def test_a_query_that_is_none_is_refused(library: Library) -> None:
    for query in A_QUERY_THAT_IS_NONE_IS_REFUSE_QUERY:
        with case(query):
            assert check_refused(library.search(query=query), 400)["param"].startswith("query")


A_QUERY_MAY_BE_ANY_TEXT_QUERY: list[Any] = [
    "heron " * 1_000,
    "a" * 4_000,
    "& | ! ( ) : * < > ' \" \\ -- /* %s",
    "'heron':*",
    "\u202eheron\u200b\ufeff",
    "🪶" * 200,
    "heron AND NOT (island)",
    "ａｂｃ",
    "\u0301" * 300,
    "heron\r\n\x01\x7f",
]


def test_a_query_may_be_any_text(library: Library) -> None:
    for query in A_QUERY_MAY_BE_ANY_TEXT_QUERY:
        with case(query):
            assert library.search(query=query).status_code == 200


def test_a_query_of_100_kilobytes_is_refused_or_answered_soon(library: Library) -> None:
    for query in ("heron " * 17_000, "heron-" * 17_000, " ".join(f"w{number}" for number in range(15_000))):
        assert library.search(query=query).status_code in (200, 400)


def test_of_a_member_given_twice_the_last_counts(library: Library) -> None:
    body = b'{"query": 5, "query": "heron", "max_num_results": 99, "max_num_results": 1}'
    assert library.send(READING["search"], body).status_code == 200
    check_refused(library.send(READING["search"], b'{"query": "heron", "query": 5}'), 400)


ATTRIBUTES: list[Any] = [
    {"k": 2**63},
    {f"k{number}": 1 for number in range(17)},
    {"k" * 65: 1},
    {"": 1},
    {"k": "v" * 513},
    {"k": None},
    {"k": []},
    {"k": {"a": 1}},
    [],
    "x",
    5,
]


def test_attributes_beyond_their_limits_are_refused(library: Library) -> None:
    for attributes in ATTRIBUTES:
        with case(attributes):
            before = library.contents()
            body = {"file_id": library.file, "attributes": attributes}
            for endpoint in ("attach", "update attachment"):
                error = check_refused(library.send(READING[endpoint], json.dumps(body).encode()), 400)
                assert error["param"].startswith("attributes")
            assert library.contents() == before


NO_QUERY_STRING_BREAKS_A_LIST_QUERY: list[Any] = [
    "after=%00",
    "after=x",
    "limit=0",
    "limit=x",
    "limit=99999999999999999999",
    "order=%ff",
    "filter=x",
    "before=file-%F0%9F",
]


def test_no_query_string_breaks_a_list(library: Library) -> None:
    for query in NO_QUERY_STRING_BREAKS_A_LIST_QUERY:
        with case(query):
            for path in ("/v1/files", "/v1/vector_stores", "/v1/vector_stores/{store}/files"):
                assert library.send(("get", f"{path}?{query}"), b"").status_code < 500


AN_ID_THAT_IS_NONE_IS_A_MISSIN_IDENT: list[Any] = [
    "%00",
    "vs_%00",
    "..%2f..",
    "vs_" + "f" * 5_000,
    "vs_%F0%9F%AA%B6",
    "vs_" + "0" * 32,
    "%27",
    "vs_-1",
]


def test_an_id_that_is_none_is_a_missing_object(library: Library) -> None:
    for ident in AN_ID_THAT_IS_NONE_IS_A_MISSIN_IDENT:
        with case(ident):
            for path in (
                f"/v1/vector_stores/{ident}",
                f"/v1/files/{ident}",
                f"/v1/vector_stores/{{store}}/files/{ident}",
            ):
                check_refused(library.send(("get", path), b""), 404)


FORM = "multipart/form-data; boundary=b"
FORMS = [
    (b"", FORM),
    (b"--b--\r\n", FORM),
    (b"nonsense", FORM),
    (b"x", "multipart/form-data"),
    (b"x", "multipart/form-data; boundary=" + "b" * 300),
    (b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nx', FORM),
    (b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n', FORM),
    (b'--b\r\nContent-Disposition: form-data; name="file"; filename="\x00.txt"\r\n\r\nx\r\n--b--\r\n', FORM),
    (b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nassistants\r\n' * 2_000 + b"--b--\r\n", FORM),
    (b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nnone\r\n--b--\r\n', FORM),
    (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\nContent-Transfer-Encoding: base64\r\n\r\n!',
        FORM,
    ),
    (b"{}", "application/json"),
    (NESTED_LIST, "application/json"),
]


def test_an_upload_that_is_none_is_refused(library: Library) -> None:
    for body, content_type in FORMS:
        with case(body, content_type):
            before = library.contents()
            check_refused(library.send(("post", "/v1/files"), body, content_type), 400, 415)
            assert library.contents() == before
