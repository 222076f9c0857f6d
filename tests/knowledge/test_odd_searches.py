"""Absurd searches through the API end in a 400 that names the parameter, or in an answer."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from tests.knowledge.conftest import ingest


@pytest.fixture
def ask(acme, words):
    """Posts a search to a store with one document; returns (status, body)."""
    client = Client(headers={"authorization": f"Bearer {acme.key}"})

    def post(path, body):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = client.post(path, data, content_type="application/json")
        return answer.status_code, answer.json()

    store = post("/v1/vector_stores", {"name": "odd"})[1]["id"]

    def search(body, to=store):
        return post(f"/v1/vector_stores/{to}/search", body)

    search.empty = post("/v1/vector_stores", {})[1]["id"]
    content = {"purpose": "assistants"}
    content["file"] = SimpleUploadedFile("kiln.txt", b"The kiln fires porcelain. It is hot.")
    file = client.post("/v1/files", content).json()["id"]
    post(f"/v1/vector_stores/{store}/files", {"file_id": file})
    ingest()
    return search


REFUSED = [
    ({}, "query"),
    ({"query": ""}, "query"),
    ({"query": "   "}, "query"),
    ({"query": "kiln " * 20_000}, "query"),
    ({"query": ["kiln"] * 9}, "query"),
    ({"query": []}, "query"),
    ({"query": [1]}, "query"),
    ({"query": {"a": 1}}, "query"),
    ({"query": "a\0b"}, None),
    ({"query": "\ud800"}, None),
    ({"query": "kiln", "ranking_options": {"ranker": "magic"}}, "ranking_options.ranker"),
    ({"query": "kiln", "ranking_options": {"score_threshold": 2}}, "ranking_options.score_threshold"),
    ({"query": "kiln", "ranking_options": {"score_threshold": "high"}}, "ranking_options.score_threshold"),
    ({"query": "kiln", "ranking_options": {"mmr_lambda": -1}}, "ranking_options.mmr_lambda"),
    ({"query": "kiln", "ranking_options": {"neighbors": 6}}, "ranking_options.neighbors"),
    ({"query": "kiln", "max_num_results": 0}, "max_num_results"),
    ({"query": "kiln", "filters": {"type": "like", "key": "a", "value": 1}}, "filters"),
    ({"query": "kiln", "filters": {"type": "eq", "key": "a", "value": None}}, "filters"),
]


def test_what_cannot_be_searched_is_refused_by_name(ask):
    for body, param in REFUSED:
        status, answer = ask(body)
        assert status == 400, (body, answer)
        if param:
            assert answer["error"]["param"] == param, (str(body)[:80], answer)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_a_threshold_that_is_no_number_is_refused(ask, number):
    status, _ = ask(b'{"query": "kiln", "ranking_options": {"score_threshold": ' + number + b"}}")
    assert status == 400


def test_odd_but_possible_queries_are_answered(ask):
    for query in (
        "the of and",
        "\u200b\u200dkiln",
        "🏺🔥",
        "תנור",
        "\u202ekiln\u202c",
        "?!…",
        "kiln " * 1_600,
        "k",
        "ﬁre",
        "<kiln>",
    ):
        for ranker in ("hybrid", "dense", "lexical"):
            status, answer = ask({"query": query, "ranking_options": {"ranker": ranker}})
            assert status == 200, (query[:20], answer)
    assert ask({"query": "the of and", "ranking_options": {"ranker": "lexical"}})[1]["data"] == []
    [hit] = ask({"query": "\u200bki\u200bln", "ranking_options": {"ranker": "lexical"}})[1]["data"]
    assert (hit["filename"], hit["page"], hit["start"], hit["end"]) == ("kiln.txt", None, 0, 36)


def test_an_empty_store_answers_nothing(ask):
    for ranker in ("hybrid", "dense", "lexical"):
        status, answer = ask({"query": "kiln", "ranking_options": {"ranker": ranker, "mmr_lambda": 0.5}}, to=ask.empty)
        assert (status, answer["data"], answer["has_more"]) == (200, [], False)
