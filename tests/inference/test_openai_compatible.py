"""The client that threads use, against a real HTTP server: embeddings, and a short text that can be broken off."""

import threading
import time
from collections.abc import Iterator
from http.server import ThreadingHTTPServer

import pytest

from inference.providers import openai_compatible
from inference.providers.base import Cancelled, Prompt, ProviderError
from inference.providers.openai_compatible import OpenAICompatible
from inference.providers.threaded_call import ThreadedCall
from tests.e2e.upstream import Upstream
from tests.inference.test_openai_chat import CannedServer, CountingUpstream


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    server = CountingUpstream()
    yield server
    server.release.set()
    openai_compatible._pool().clear()
    server.shutdown()
    server.server_close()


@pytest.fixture
def canned() -> Iterator[CannedServer]:
    server = CannedServer()
    yield server
    openai_compatible._pool().clear()
    server.shutdown()
    server.server_close()


def client_of(server: ThreadingHTTPServer, key: str = "") -> OpenAICompatible:
    return OpenAICompatible(base_url=f"http://127.0.0.1:{server.server_address[1]}/v1/", model="up", api_key=key)


@pytest.mark.parametrize("said", ["fault:hangs", "fault:slow"])
def test_a_call_is_broken_off_from_another_thread(upstream: Upstream, said: str) -> None:
    live = ThreadedCall()
    timer = threading.Timer(0.3, live.stop)
    timer.start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        client_of(upstream).complete(Prompt({"messages": [{"role": "user", "content": said}], "stream": True}, 9), live)
    # The server would stay silent for thirty seconds.
    assert time.monotonic() - started < 5
    timer.join()


def test_embeddings_come_in_the_order_of_their_texts(canned: CannedServer) -> None:
    canned.body = (
        b'{"data": [{"index": 1, "embedding": [2]}, {"index": 0, "embedding": [1]}], "usage": {"prompt_tokens": 6}}'
    )
    assert client_of(canned).embed(["a", "b"]) == ([[1], [2]], 6)


def test_embeddings_may_come_as_base64(canned: CannedServer) -> None:
    canned.body = b'{"data": [{"index": 0, "embedding": "AACAPwAAAMA="}]}'
    [vector], _ = client_of(canned).embed(["a"])
    assert list(vector) == [1.0, -2.0]


@pytest.mark.parametrize(
    "body", [b"{}", b'{"data": []}', b'{"data": [{"index": 0}, {"index": 1}]}', b'{"data": [1, 2]}']
)
def test_embeddings_without_vectors_are_garbage(canned: CannedServer, body: bytes) -> None:
    canned.body = body
    with pytest.raises(ProviderError) as failed:
        client_of(canned).embed(["a", "b"])
    assert failed.value.code == "upstream_garbage"
