"""The OpenAI-compatible client against a real HTTP server: what it sends, and what becomes of every kind of failure."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from inference.providers import openai_compatible
from inference.providers.base import Cancelled, Chunk, Prompt, ProviderError, Usage
from inference.providers.openai_compatible import OpenAICompatible
from inference.running import RunningCall
from tests.e2e.upstream import Upstream


class CountingUpstream(Upstream):
    """Counts the connections that it accepted."""

    connections = 0

    def serve_forever(self, poll_interval: float = 0.02) -> None:
        """So that it is soon shut down."""
        super().serve_forever(poll_interval)

    def get_request(self) -> Any:
        self.connections += 1
        return super().get_request()


class CannedServer(ThreadingHTTPServer):
    """Answers every POST with the same bytes."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _CannedHandler)
        self.status, self.body, self.headers = 200, b"", {"content-type": "application/json"}
        threading.Thread(target=self.serve_forever, args=[0.02], daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Callers that hang up are part of the tests."""


class _CannedHandler(BaseHTTPRequestHandler):
    server: CannedServer

    def log_message(self, *args: Any) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.body)


@pytest.fixture
def upstream() -> Iterator[CountingUpstream]:
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


@pytest.fixture
def live() -> RunningCall:
    return RunningCall(time.monotonic() + 60)


def client_of(server: ThreadingHTTPServer, key: str = "") -> OpenAICompatible:
    return OpenAICompatible(base_url=f"http://127.0.0.1:{server.server_address[1]}/v1/", model="up", api_key=key)


def prompt(said: str = "hello") -> Prompt:
    return Prompt({"messages": [{"role": "user", "content": said}]}, 9)


def text_of(chunks: list[Chunk]) -> str:
    return "".join(
        choice["delta"].get("content", "") for chunk in chunks for choices in chunk.choices for choice in choices
    )


def test_an_answer_comes_with_the_usage_that_the_server_reports(upstream: CountingUpstream, live: RunningCall) -> None:
    answer = client_of(upstream).complete(prompt(), live)
    assert answer.choices[0]["message"]["content"].split()[-1] == "word9"
    assert answer.usage == Usage(7, 10)
    assert upstream.bodies == [{"messages": [{"role": "user", "content": "hello"}], "model": "up", "max_tokens": 9}]


def test_a_stream_is_asked_for_with_usage_and_comes_in_order(upstream: CountingUpstream, live: RunningCall) -> None:
    chunks = list(client_of(upstream).stream(prompt(), live))
    assert text_of(chunks).split() == [f"word{number}" for number in range(10)]
    assert chunks[-1].usage == Usage(7, 10)
    assert upstream.bodies[0]["stream"] is True and upstream.bodies[0]["stream_options"] == {"include_usage": True}


def test_the_limit_goes_out_under_the_name_it_came_in_with(upstream: CountingUpstream, live: RunningCall) -> None:
    client_of(upstream).complete(Prompt(prompt().body, 9, limit_member="max_completion_tokens"), live)
    assert upstream.bodies[0]["max_completion_tokens"] == 9 and "max_tokens" not in upstream.bodies[0]


def test_streams_and_answers_share_one_connection(upstream: CountingUpstream, live: RunningCall) -> None:
    client = client_of(upstream)
    for _ in range(3):
        assert text_of(list(client.stream(prompt(), live))).endswith("word9 ")
        client.complete(prompt(), live)
    assert upstream.connections == 1


@pytest.mark.parametrize(
    ("behaviour", "code", "status", "temporary"),
    [
        ("refuses", "bad", 400, False),
        ("credentials", "upstream_credentials", 502, False),
        ("overloaded", "upstream_rate_limited", 503, True),
        ("broken", "upstream_error", 502, True),
        ("half-json", "upstream_garbage", 502, True),
        ("html", "upstream_garbage", 502, True),
        ("resets", "upstream_broke_off", 502, True),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_failure_has_a_code_a_status_and_says_whether_it_may_pass(
    upstream: CountingUpstream,
    live: RunningCall,
    behaviour: str,
    code: str,
    status: int,
    temporary: bool,
    streamed: bool,
) -> None:
    client = client_of(upstream)
    with pytest.raises(ProviderError) as failed:
        if streamed:
            list(client.stream(prompt(f"fault:{behaviour}"), live))
        else:
            client.complete(prompt(f"fault:{behaviour}"), live)
    error = failed.value
    assert (error.code, error.status, error.temporary) == (code, status, temporary)
    assert "sk-secret" not in error.message


def test_a_refusal_keeps_the_servers_message_and_parameter(upstream: CountingUpstream, live: RunningCall) -> None:
    with pytest.raises(ProviderError) as failed:
        client_of(upstream).complete(prompt("fault:refuses"), live)
    assert (failed.value.message, failed.value.param) == ("bad temperature", "temperature")


@pytest.mark.parametrize(
    ("status", "code", "temporary"),
    [
        (301, "upstream_error", True),
        (403, "upstream_credentials", False),
        (404, "upstream_model_missing", False),
        (413, "upstream_refused", False),
        (422, "upstream_refused", False),
        (503, "upstream_error", True),
    ],
)
@pytest.mark.parametrize("body", [b"", b"[]", b'"no"', b'{"error": "text"}', b"\xff"])
def test_any_status_with_any_body_is_mapped(
    canned: CannedServer, live: RunningCall, status: int, code: str, temporary: bool, body: bytes
) -> None:
    canned.status, canned.body = status, body
    with pytest.raises(ProviderError) as failed:
        client_of(canned).complete(prompt(), live)
    assert (failed.value.code, failed.value.temporary) == (code, temporary)


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("0.5", 0.5), ("Fri, 31 Dec 2027 23:59:59 GMT", 1.0), ("", 1.0), ("²", 1.0)]
)
def test_an_overloaded_server_says_when_to_come_back(
    canned: CannedServer, live: RunningCall, header: str, seconds: float
) -> None:
    canned.status, canned.headers = 429, {"retry-after": header}
    with pytest.raises(ProviderError) as failed:
        client_of(canned).complete(prompt(), live)
    assert failed.value.retry_after == seconds


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"choices": []}',
        b'{"choices": {}}',
        b'{"choices": [1]}',
        b'{"choices": [{}]}',
        b'{"choices": [{"message": "x"}]}',
        b"\xff\xfe",
    ],
)
def test_an_answer_without_choices_is_garbage(canned: CannedServer, live: RunningCall, body: bytes) -> None:
    canned.body = body
    with pytest.raises(ProviderError) as failed:
        client_of(canned).complete(prompt(), live)
    assert failed.value.code == "upstream_garbage"


@pytest.mark.parametrize(
    "usage",
    [
        "null",
        "5",
        "{}",
        '{"prompt_tokens": "x", "completion_tokens": 1}',
        '{"prompt_tokens": 1, "completion_tokens": null}',
    ],
)
def test_usage_that_says_nothing_is_no_usage(canned: CannedServer, live: RunningCall, usage: str) -> None:
    canned.body = b'{"choices": [{"message": {"content": "x"}}], "usage": ' + usage.encode() + b"}"
    assert client_of(canned).complete(prompt(), live).usage is None


def test_cached_and_reasoning_tokens_are_read_and_no_count_is_negative(canned: CannedServer, live: RunningCall) -> None:
    canned.body = (
        b'{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": 9, "completion_tokens": -5, '
        b'"prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 2}}}'
    )
    assert client_of(canned).complete(prompt(), live).usage == Usage(9, 0, 4, 2)


def stream(server: CannedServer, live: RunningCall, body: bytes) -> list[Chunk]:
    server.headers, server.body = {"content-type": "text/event-stream"}, body
    return list(client_of(server).stream(prompt(), live))


CONTENT = b'data: {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": null}]}'


def test_events_are_read_whatever_their_line_ends_and_comments(canned: CannedServer, live: RunningCall) -> None:
    body = (
        b": ping\r\n\r\nevent: x\r\n"
        + CONTENT
        + b"\r\n\r\n"
        + CONTENT.replace(b"data: ", b"data:")
        + b"\n\ndata: [DONE]\n\n"
    )
    assert text_of(stream(canned, live, body)) == "aa"


def test_nothing_is_read_beyond_the_end_of_a_stream(canned: CannedServer, live: RunningCall) -> None:
    assert text_of(stream(canned, live, CONTENT + b"\n\ndata: [DONE]\n\n" + CONTENT + b"\n\n")) == "a"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "upstream_broke_off"),
        (CONTENT + b"\n\n", "upstream_broke_off"),
        (b"data: [DONE]\n\n", "upstream_garbage"),
        (
            b'data: {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 0}}\n\ndata: [DONE]\n\n',
            "upstream_garbage",
        ),
        (CONTENT + b"\n\ndata: {half\n\n", "upstream_garbage"),
        (CONTENT + b"\n\ndata: []\n\n", "upstream_garbage"),
        (b'data: {"choices": {"a": 1}}\n\n', "upstream_garbage"),
        (b'data: {"choices": ["a"]}\n\ndata: [DONE]\n\n', "upstream_garbage"),
        (b'data: {"choices": [{"delta": "a"}]}\n\ndata: [DONE]\n\n', "upstream_garbage"),
        (CONTENT + b'\n\ndata: {"error": {"message": "out of memory"}}\n\n', "upstream_error"),
        (CONTENT + b'\n\ndata: {"error": "out of memory"}\n\n', "upstream_error"),
    ],
)
def test_a_stream_that_is_not_one_fails(canned: CannedServer, live: RunningCall, body: bytes, code: str) -> None:
    with pytest.raises(ProviderError) as failed:
        stream(canned, live, body)
    assert failed.value.code == code


def test_an_oversized_answer_or_event_is_garbage(
    canned: CannedServer, live: RunningCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_compatible, "_MAX_ANSWER_BYTES", 1_000)
    with pytest.raises(ProviderError, match="an event without an end"):
        stream(canned, live, b"data: " + b"x" * 200_000)
    canned.headers, canned.body = {"content-type": "application/json"}, b'{"choices": "' + b"x" * 200_000
    with pytest.raises(ProviderError, match="more than 32 MiB"):
        client_of(canned).complete(prompt(), live)


def test_a_server_that_cannot_be_reached_is_a_503(live: RunningCall) -> None:
    with pytest.raises(ProviderError) as failed:
        OpenAICompatible(base_url="http://127.0.0.1:1/v1", model="m", api_key="").complete(prompt(), live)
    assert (failed.value.code, failed.value.status) == ("upstream_unreachable", 503)


@pytest.mark.parametrize("said", ["fault:slow", "fault:hangs"])
def test_a_silent_server_is_given_up(upstream: CountingUpstream, live: RunningCall, settings: Any, said: str) -> None:
    settings.UPSTREAM_READ_SECONDS = 0.3
    with pytest.raises(ProviderError) as failed:
        list(client_of(upstream).stream(prompt(said), live))
    assert (failed.value.code, failed.value.status) == ("upstream_timeout", 504)


@pytest.mark.parametrize("said", ["fault:hangs", "fault:slow"])
@pytest.mark.parametrize("streamed", [True, False])
def test_a_call_is_broken_off_from_another_thread_before_and_within_its_answer(
    upstream: CountingUpstream, live: RunningCall, said: str, streamed: bool
) -> None:
    client = client_of(upstream)
    timer = threading.Timer(0.3, live.stop, ["cancelled"])
    timer.start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        if streamed:
            list(client.stream(prompt(said), live))
        else:
            client.complete(prompt(said), live)
    # The server would stay silent for thirty seconds.
    assert time.monotonic() - started < 5
    timer.join()


def test_a_call_that_was_cancelled_before_it_began_is_not_made_to_wait(
    upstream: CountingUpstream, live: RunningCall
) -> None:
    live.stop("cancelled")
    with pytest.raises(Cancelled):
        client_of(upstream).complete(prompt("fault:slow"), live)


def test_a_late_cancellation_leaves_the_next_call_on_the_same_connection_alone(upstream: CountingUpstream) -> None:
    client = client_of(upstream)
    first, second = RunningCall(time.monotonic() + 60), RunningCall(time.monotonic() + 60)
    list(client.stream(prompt(), first))
    chunks = client.stream(prompt("fault:hangs"), second)
    next(chunks)
    assert upstream.streaming.wait(5)
    first.stop("cancelled")
    upstream.release.set()
    assert text_of(list(chunks)).endswith("word9 ")
    assert upstream.connections == 1


def test_credentials_go_along_as_a_bearer(
    canned: CannedServer, live: RunningCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []
    answer = _CannedHandler.do_POST
    monkeypatch.setattr(
        _CannedHandler, "do_POST", lambda self: (seen.append(self.headers["authorization"]), answer(self))[1]
    )
    canned.body = b'{"choices": [{"message": {"content": "x"}}]}'
    client_of(canned, key="sk-up").complete(prompt(), live)
    client_of(canned).complete(prompt(), live)
    assert seen == ["Bearer sk-up", None]


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
