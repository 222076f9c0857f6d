"""A re-ranking model behind a real server: asked, paid, bounded; what it gets wrong or late is an error, not an order."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from billing.models import Reservation, UsageRecord
from inference.models import Deployment
from inference.reranking import RemoteReranker
from knowledge import ports
from knowledge.metering import Payer
from knowledge.ports import RerankerUnavailable
from knowledge.retrieval import metered_search
from knowledge.retrieval.provider_places import SearchesWaiting, provider_place
from tenants.errors import InvalidRequest
from tenants.scope import acting_for, tenant_scope
from tests.knowledge.conftest import attach, ingest, make_store, upload

#: The built-in model's price stands for the re-ranking model's.
PRICED = "all-MiniLM-L6-v2"


class Server(ThreadingHTTPServer):
    """Scores a document by how often it says `iron`, in the shape of Cohere, Jina and vLLM; or answers as it is told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str | None, dict[str, Any]]] = []
        self.status, self.answer = 200, None
        self.release = threading.Event()
        self.release.set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((self.path, self.headers["authorization"], body))
        self.server.release.wait(30)
        counts = [text.lower().count("iron") for text in body["documents"]]
        rows = [{"index": index, "relevance_score": count / 10} for index, count in enumerate(counts)]
        said = {"results": sorted(rows, key=lambda row: -row["relevance_score"])}
        data = self.server.answer if self.server.answer is not None else json.dumps(said).encode()
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running
        running.release.set()
        running.shutdown()


@pytest.fixture
def judge(server: Server) -> Iterator[RemoteReranker]:
    """The port, wired to a model granted as `judge`."""
    deployment = Deployment(base_url=server.url, upstream_model="judge-v2", api_key="sk-judge")
    reranker = RemoteReranker(PRICED, deployment)
    before = ports._reranker_source
    ports.wire_reranker(lambda alias: reranker if alias == "judge" else None)
    yield reranker
    ports._reranker_source = before


@pytest.fixture
def store(acme, words, judge):
    with acting_for(acme.tenant.id):
        made = make_store()
        attach(made, upload("A kiln fires clay. The kiln is hot.", "kiln.txt"))
        attach(made, upload("The smith heats iron, hammers iron and cools iron.", "forge.txt"))
        attach(made, upload("An iron kettle hangs above the kiln.", "kettle.txt"))
        ingest()
        yield made


def found(store, **options):
    wanted = {"query": "hot kiln", "ranker": "judge", **options}
    return metered_search(payer=Payer(None, "USD"), now=datetime.now(UTC), store_ids=[store.id], **wanted)


def names(result):
    return [Path(passage.filename).stem for passage in result.passages]


def test_the_models_order_and_scores_are_answered(store, server):
    result = found(store)
    assert names(result) == ["forge", "kettle", "kiln"]
    assert [passage.score for passage in result.passages] == pytest.approx([0.3, 0.1, 0])
    [(path, authorization, body)] = server.asked
    assert (path, authorization) == ("/v1/rerank", "Bearer sk-judge")
    assert (body["model"], body["query"], body["top_n"]) == ("judge-v2", "hot kiln", 3)


def test_limit_and_threshold_count_after_it(store, server):
    assert names(found(store, limit=1)) == ["forge"]
    assert names(found(store, score_threshold=0.2)) == ["forge"]
    assert len(server.asked[0][2]["documents"]) == 3


def test_what_it_reads_is_charged_and_held_before(store, judge):
    result = found(store)
    tokens = judge.count_tokens("hot kiln", [passage.text for passage in result.passages])
    with tenant_scope():
        assert UsageRecord.objects.get(operation="rerank").quantity == tokens
        assert not Reservation.objects.filter(state="open").exists()


#: (status, body)
FAILURES = [
    (500, b"{}"), (200, b"no JSON"), (200, b"[]"), (200, b'{"results": [{"index": 0, "relevance_score": 1}]}'),
    (200, json.dumps({"results": [{"index": index, "relevance_score": float("nan")} for index in range(3)]}).encode()),
    (302, b""),
]  # fmt: skip


def test_a_model_that_fails_is_an_error_that_costs_nothing(store, server):
    for server.status, server.answer in FAILURES:
        with pytest.raises(RerankerUnavailable) as refused:
            found(store)
        assert (refused.value.status, refused.value.code) == (503, "reranker_unavailable")
    with tenant_scope():
        assert not UsageRecord.objects.filter(operation="rerank").exists()
        assert not Reservation.objects.filter(state="open").exists()


def test_a_model_that_is_slow_is_given_up(store, server, settings):
    settings.SEARCH_PROVIDER_SECONDS = 0.3
    server.release.clear()
    with pytest.raises(RerankerUnavailable, match="cannot be reached"):
        found(store)


def test_logits_become_scores(store, server):
    rows = [{"index": index, "relevance_score": value} for index, value in enumerate((0.0, 5.0, -800.0))]
    server.answer = json.dumps({"results": rows}).encode()
    assert [passage.score for passage in found(store).passages] == pytest.approx([0.993307, 0.5, 0], abs=1e-6)


def test_a_model_that_is_not_granted_is_no_ranker(store):
    for ranker in ("jury", "", "x" * 300, "a\0b"):
        with pytest.raises(InvalidRequest, match="re-ranking model that is granted") as refused:
            found(store, ranker=ranker)
        assert refused.value.param == "ranking_options.ranker"


def test_searches_that_need_no_provider_pass_while_all_places_are_taken(store, settings):
    settings.SEARCH_PROVIDER_PLACES = 1
    with provider_place():
        with pytest.raises(SearchesWaiting) as refused:
            found(store)
        assert refused.value.headers["retry-after"] == "1"
        assert names(found(store, ranker="lexical"))
    assert names(found(store))
