"""The OpenAI-compatible client against a real HTTP server: what it sends, and what becomes of every kind of failure."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from inference.providers import openai_http
from inference.providers.base import Chunk, Prompt, ProviderError, Usage
from inference.providers.openai_chat import OpenAIChat
from inference.providers.openai_http import close_session
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


@pytest.fixture(autouse=True)
async def _hang_up() -> AsyncIterator[None]:
    yield
    await close_session()


async def all_of(chunks: AsyncIterator[Chunk]) -> list[Chunk]:
    return [chunk async for chunk in chunks]


@pytest.fixture
def upstream() -> Iterator[CountingUpstream]:
    server = CountingUpstream()
    yield server
    server.release.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def canned() -> Iterator[CannedServer]:
    server = CannedServer()
    yield server
    server.shutdown()
    server.server_close()


def client_of(server: ThreadingHTTPServer, key: str = "") -> OpenAIChat:
    return OpenAIChat(base_url=f"http://127.0.0.1:{server.server_address[1]}/v1/", model="up", api_key=key)


def prompt(said: str = "hello") -> Prompt:
    return Prompt({"messages": [{"role": "user", "content": said}]}, 9)


def text_of(chunks: list[Chunk]) -> str:
    return "".join(
        choice["delta"].get("content", "") for chunk in chunks for choices in chunk.choices for choice in choices
    )


async def test_an_answer_comes_with_the_usage_that_the_server_reports(upstream: CountingUpstream) -> None:
    answer = await client_of(upstream).complete(prompt())
    assert answer.choices[0]["message"]["content"].split()[-1] == "word9"
    assert answer.usage == Usage(7, 10)
    assert upstream.bodies == [{"messages": [{"role": "user", "content": "hello"}], "model": "up", "max_tokens": 9}]


async def test_a_stream_is_asked_for_with_usage_and_comes_in_order(upstream: CountingUpstream) -> None:
    chunks = await all_of(client_of(upstream).stream(prompt()))
    assert text_of(chunks).split() == [f"word{number}" for number in range(10)]
    assert chunks[-1].usage == Usage(7, 10)
    assert upstream.bodies[0]["stream"] is True and upstream.bodies[0]["stream_options"] == {"include_usage": True}


async def test_the_limit_goes_out_under_the_name_it_came_in_with(upstream: CountingUpstream) -> None:
    await client_of(upstream).complete(Prompt(prompt().body, 9, limit_member="max_completion_tokens"))
    assert upstream.bodies[0]["max_completion_tokens"] == 9 and "max_tokens" not in upstream.bodies[0]


async def test_streams_and_answers_share_one_connection(upstream: CountingUpstream) -> None:
    client = client_of(upstream)
    for _ in range(3):
        assert text_of(await all_of(client.stream(prompt()))).endswith("word9 ")
        await client.complete(prompt())
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
async def test_a_failure_has_a_code_a_status_and_says_whether_it_may_pass(
    upstream: CountingUpstream,
    behaviour: str,
    code: str,
    status: int,
    temporary: bool,
    streamed: bool,
) -> None:
    client = client_of(upstream)
    with pytest.raises(ProviderError) as failed:
        if streamed:
            await all_of(client.stream(prompt(f"fault:{behaviour}")))
        else:
            await client.complete(prompt(f"fault:{behaviour}"))
    error = failed.value
    assert (error.code, error.status, error.temporary) == (code, status, temporary)
    assert "sk-secret" not in error.message


async def test_a_refusal_keeps_the_servers_message_and_parameter(upstream: CountingUpstream) -> None:
    with pytest.raises(ProviderError) as failed:
        await client_of(upstream).complete(prompt("fault:refuses"))
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
async def test_any_status_with_any_body_is_mapped(
    canned: CannedServer, status: int, code: str, temporary: bool, body: bytes
) -> None:
    canned.status, canned.body = status, body
    with pytest.raises(ProviderError) as failed:
        await client_of(canned).complete(prompt())
    assert (failed.value.code, failed.value.temporary) == (code, temporary)


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("0.5", 0.5), ("Fri, 31 Dec 2027 23:59:59 GMT", 1.0), ("", 1.0), ("²", 1.0)]
)
async def test_an_overloaded_server_says_when_to_come_back(canned: CannedServer, header: str, seconds: float) -> None:
    canned.status, canned.headers = 429, {"retry-after": header}
    with pytest.raises(ProviderError) as failed:
        await client_of(canned).complete(prompt())
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
async def test_an_answer_without_choices_is_garbage(canned: CannedServer, body: bytes) -> None:
    canned.body = body
    with pytest.raises(ProviderError) as failed:
        await client_of(canned).complete(prompt())
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
async def test_usage_that_says_nothing_is_no_usage(canned: CannedServer, usage: str) -> None:
    canned.body = b'{"choices": [{"message": {"content": "x"}}], "usage": ' + usage.encode() + b"}"
    assert (await client_of(canned).complete(prompt())).usage is None


async def test_cached_and_reasoning_tokens_are_read_and_no_count_is_negative(canned: CannedServer) -> None:
    canned.body = (
        b'{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": 9, "completion_tokens": -5, '
        b'"prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 2}}}'
    )
    assert (await client_of(canned).complete(prompt())).usage == Usage(9, 0, 4, 2)


async def stream(server: CannedServer, body: bytes) -> list[Chunk]:
    server.headers, server.body = {"content-type": "text/event-stream"}, body
    return await all_of(client_of(server).stream(prompt()))


CONTENT = b'data: {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": null}]}'


async def test_events_are_read_whatever_their_line_ends_and_comments(canned: CannedServer) -> None:
    body = (
        b": ping\r\n\r\nevent: x\r\n"
        + CONTENT
        + b"\r\n\r\n"
        + CONTENT.replace(b"data: ", b"data:")
        + b"\n\ndata: [DONE]\n\n"
    )
    assert text_of(await stream(canned, body)) == "aa"


async def test_nothing_is_read_beyond_the_end_of_a_stream(canned: CannedServer) -> None:
    assert text_of(await stream(canned, CONTENT + b"\n\ndata: [DONE]\n\n" + CONTENT + b"\n\n")) == "a"


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
async def test_a_stream_that_is_not_one_fails(canned: CannedServer, body: bytes, code: str) -> None:
    with pytest.raises(ProviderError) as failed:
        await stream(canned, body)
    assert failed.value.code == code


async def test_an_oversized_answer_or_event_is_garbage(canned: CannedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_http, "MAX_ANSWER_BYTES", 1_000)
    with pytest.raises(ProviderError, match="an event without an end"):
        await stream(canned, b"data: " + b"x" * 200_000)
    canned.headers, canned.body = {"content-type": "application/json"}, b'{"choices": "' + b"x" * 200_000
    with pytest.raises(ProviderError, match="more than 32 MiB"):
        await client_of(canned).complete(prompt())


async def test_a_server_that_cannot_be_reached_is_a_503() -> None:
    with pytest.raises(ProviderError) as failed:
        await OpenAIChat(base_url="http://127.0.0.1:1/v1", model="m", api_key="").complete(prompt())
    assert (failed.value.code, failed.value.status) == ("upstream_unreachable", 503)


@pytest.mark.parametrize("said", ["fault:slow", "fault:hangs"])
async def test_a_silent_server_is_given_up(upstream: CountingUpstream, settings: Any, said: str) -> None:
    settings.UPSTREAM_READ_SECONDS = 0.3
    with pytest.raises(ProviderError) as failed:
        await all_of(client_of(upstream).stream(prompt(said)))
    assert (failed.value.code, failed.value.status) == ("upstream_timeout", 504)


@pytest.mark.parametrize("said", ["fault:hangs", "fault:slow"])
@pytest.mark.parametrize("streamed", [True, False])
async def test_a_cancelled_call_hangs_up_before_and_within_its_answer(
    upstream: CountingUpstream, said: str, streamed: bool
) -> None:
    client = client_of(upstream)
    work = all_of(client.stream(prompt(said))) if streamed else client.complete(prompt(said))
    task = asyncio.ensure_future(work)
    await asyncio.to_thread(upstream.streaming.wait, 0.3)
    started = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # The server would stay silent for thirty seconds.
    assert time.monotonic() - started < 5
    await client.complete(prompt())
    assert upstream.connections == 2


async def test_credentials_go_along_as_a_bearer(canned: CannedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str | None] = []
    answer = _CannedHandler.do_POST
    monkeypatch.setattr(
        _CannedHandler, "do_POST", lambda self: (seen.append(self.headers["authorization"]), answer(self))[1]
    )
    canned.body = b'{"choices": [{"message": {"content": "x"}}]}'
    await client_of(canned, key="sk-up").complete(prompt())
    await client_of(canned).complete(prompt())
    assert seen == ["Bearer sk-up", None]


async def test_what_came_together_with_garbage_was_said(canned: CannedServer) -> None:
    canned.headers = {"content-type": "text/event-stream"}
    said = b'data: {"choices": [{"index": 0, "delta": {"content": "word0 "}}]}\n\n'
    canned.body = said + said + b'data: {"choices": [{"ind\n\n' + said
    chunks, told = client_of(canned).stream(prompt()), ""
    with pytest.raises(ProviderError) as failed:
        async for chunk in chunks:
            told += text_of([chunk])
    assert (told, failed.value.code) == ("word0 word0 ", "upstream_garbage")


async def test_a_connection_is_not_used_again_after_a_pause_that_its_timer_could_outlast(
    upstream: CountingUpstream, settings: Any
) -> None:
    settings.UPSTREAM_READ_SECONDS = 0.2
    client = client_of(upstream)
    await client.complete(prompt())
    await asyncio.sleep(0.15)
    await client.complete(prompt())
    assert upstream.connections == 2
