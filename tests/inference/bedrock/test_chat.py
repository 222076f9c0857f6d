"""Chat at Bedrock against a server whose frames boto3 parses: answers, streams, and what becomes of every failure."""

import asyncio
import threading
import time
from contextlib import aclosing
from typing import Any

import pytest

from inference.providers.base import Chunk, Prompt, ProviderError, Usage
from inference.providers.bedrock import Account, Bedrock, calls
from tests.inference.bedrock.runtime import WORDS, BedrockRuntime, closing, event, text_events

ARN = "arn:aws:bedrock:eu-central-1:123456789012:custom-model-deployment/abc123"


def prompt(said: str = "hello", **body: Any) -> Prompt:
    return Prompt({"messages": [{"role": "user", "content": said}], **body}, 9)


def choices_of(chunks: list[Chunk]) -> list[dict[str, Any]]:
    return [choice for chunk in chunks for choices in chunk.choices for choice in choices]


def deltas(chunks: list[Chunk]) -> list[dict[str, Any]]:
    return [choice["delta"] for choice in choices_of(chunks)]


def text_of(chunks: list[Chunk]) -> str:
    return "".join(delta.get("content", "") for delta in deltas(chunks))


async def all_of(bedrock: Bedrock, asked: Prompt) -> list[Chunk]:
    return [chunk async for chunk in bedrock.stream(asked)]


async def free() -> None:
    """Wait until no thread of the pool is in a call."""
    async with asyncio.timeout(5):
        while calls._threads()._idle_semaphore._value < len(calls._threads()._threads):
            await asyncio.sleep(0.005)


async def test_a_whole_answer_and_its_usage_with_the_prompt_cache_inside(
    runtime: BedrockRuntime, account: Account
) -> None:
    answer = await Bedrock(account, ARN).complete(prompt(temperature=0.5))
    message = {"role": "assistant", "content": "".join(WORDS)}
    assert answer.choices == [{"index": 0, "message": message, "finish_reason": "stop"}]
    # 7 + 5 read from the cache + 3 written to it.
    assert answer.usage == Usage(input_tokens=15, output_tokens=10, cached_input_tokens=5)
    [asked] = runtime.requests
    assert asked.path == f"/model/{ARN}/converse"
    assert asked.body == {
        "messages": [{"role": "user", "content": [{"text": "hello"}]}],
        "inferenceConfig": {"maxTokens": 9, "temperature": 0.5},
    }


async def test_a_stream_comes_in_order_and_ends_with_its_usage(runtime: BedrockRuntime, account: Account) -> None:
    chunks = await all_of(Bedrock(account, "m"), prompt())
    assert text_of(chunks) == "".join(WORDS)
    assert choices_of(chunks)[-1] == {"index": 0, "delta": {}, "finish_reason": "stop"}
    assert [chunk.usage for chunk in chunks if chunk.usage] == [Usage(15, 10, 5)]
    assert runtime.requests[0].path == "/model/m/converse-stream"


async def test_answers_and_streams_share_one_connection(runtime: BedrockRuntime, account: Account) -> None:
    bedrock = Bedrock(account, "m")
    for _ in range(3):
        await all_of(bedrock, prompt())
        await bedrock.complete(prompt())
    assert runtime.connections == 1


async def test_a_stream_of_thought_and_tool_calls_becomes_openais_deltas(
    runtime: BedrockRuntime, account: Account
) -> None:
    def delta(index: int, **what: Any) -> bytes:
        return event("contentBlockDelta", {"contentBlockIndex": index, "delta": what})

    def start(index: int, name: str) -> bytes:
        use = {"toolUse": {"toolUseId": f"tool-{name}", "name": name}}
        return event("contentBlockStart", {"contentBlockIndex": index, "start": use})

    runtime.events = [
        event("messageStart", {"role": "assistant"}),
        delta(0, reasoningContent={"text": "Hm."}),
        delta(0, reasoningContent={"signature": "sig=="}),
        event("contentBlockStop", {"contentBlockIndex": 0}),
        delta(1, text="Looking."),
        start(2, "weather"),
        delta(2, toolUse={"input": '{"city": '}),
        delta(2, toolUse={"input": '"Oslo"}'}),
        event("contentBlockStop", {"contentBlockIndex": 2}),
        start(3, "now"),
        event("contentBlockStop", {"contentBlockIndex": 3}),
        *closing("tool_use"),
    ]
    chunks = await all_of(Bedrock(account, "m"), prompt())
    weather = {"index": 0, "id": "tool-weather", "type": "function", "function": {"name": "weather", "arguments": ""}}
    now = {"index": 1, "id": "tool-now", "type": "function", "function": {"name": "now", "arguments": ""}}
    assert deltas(chunks) == [
        {"reasoning_content": "Hm."},
        {"thinking_blocks": [{"type": "thinking", "thinking": "", "signature": "sig=="}]},
        {"content": "Looking."},
        {"tool_calls": [weather]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city": '}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"Oslo"}'}}]},
        {"tool_calls": [now]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
        {},
    ]
    assert choices_of(chunks)[-1]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("behaviour", "code", "status", "temporary", "retry_after"),
    [
        ("throttles", "upstream_rate_limited", 503, True, 3.0),
        ("invalid", "upstream_refused", 400, False, None),
        ("too_long", "context_length_exceeded", 400, False, None),
        ("denied", "upstream_credentials", 502, False, None),
        ("no_model", "upstream_model_missing", 502, False, None),
        ("unavailable", "upstream_error", 502, True, None),
        ("model_times_out", "upstream_timeout", 504, True, None),
        ("not_json", "upstream_garbage", 502, True, None),
    ],
)
async def test_a_refusal_has_a_code_and_says_whether_it_may_pass_and_is_not_retried_here(
    runtime: BedrockRuntime,
    account: Account,
    behaviour: str,
    code: str,
    status: int,
    temporary: bool,
    retry_after: float | None,
) -> None:
    bedrock = Bedrock(account, "m")
    for ask in (bedrock.complete, lambda asked: all_of(bedrock, asked)):
        with pytest.raises(ProviderError) as failed:
            await ask(prompt(f"fault:{behaviour}"))
        error = failed.value
        assert (error.code, error.status, error.temporary, error.retry_after) == (code, status, temporary, retry_after)
        # Whose account it is stays here.
        assert "123456789012" not in error.message
    assert len(runtime.requests) == 2


async def test_a_refusal_of_the_request_itself_keeps_bedrocks_words(runtime: BedrockRuntime, account: Account) -> None:
    with pytest.raises(ProviderError, match=r"^temperature: range: 0\.\.1$"):
        await Bedrock(account, "m").complete(prompt("fault:invalid"))


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        ("fails_midway", "upstream_error"),
        ("throttles_midway", "upstream_rate_limited"),
        ("stops_short", "upstream_broke_off"),
        ("cut", "upstream_broke_off"),
        ("damaged", "upstream_garbage"),
    ],
)
async def test_a_stream_that_fails_in_the_middle_raises_after_what_came_before(
    account: Account, behaviour: str, code: str
) -> None:
    chunks = []
    with pytest.raises(ProviderError) as failed:
        async for chunk in Bedrock(account, "m").stream(prompt(f"fault:{behaviour}")):
            chunks.append(chunk)
    assert failed.value.code == code
    assert text_of(chunks).startswith("word0 ")
    await free()


@pytest.mark.parametrize("behaviour", ["silent", "hangs"])
async def test_a_silent_server_is_given_up(runtime: BedrockRuntime, settings: Any, behaviour: str) -> None:
    settings.UPSTREAM_READ_SECONDS = 0.3
    # Its own client, made with this patience.
    account = Account("eu-north-1", runtime.url, access_key_id="AKID", secret_access_key=behaviour)
    with pytest.raises(ProviderError) as failed:
        await all_of(Bedrock(account, "m"), prompt(f"fault:{behaviour}"))
    assert (failed.value.code, failed.value.status) == ("upstream_timeout", 504)


async def test_a_server_that_cannot_be_reached_is_a_503() -> None:
    account = Account("eu-central-1", "http://127.0.0.1:1", access_key_id="AKID", secret_access_key="key")
    with pytest.raises(ProviderError) as failed:
        await Bedrock(account, "m").complete(prompt())
    assert (failed.value.code, failed.value.status) == ("upstream_unreachable", 503)


@pytest.mark.parametrize("behaviour", ["silent", "hangs"])
@pytest.mark.parametrize("streamed", [True, False])
async def test_a_cancelled_task_hangs_up_at_once_and_frees_its_thread(
    runtime: BedrockRuntime, account: Account, behaviour: str, streamed: bool
) -> None:
    bedrock = Bedrock(account, "m")
    asked = prompt(f"fault:{behaviour}")
    task = asyncio.create_task(all_of(bedrock, asked) if streamed else bedrock.complete(asked))
    assert await asyncio.to_thread(runtime.streaming.wait, 5)
    started = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(runtime.gone.wait, 5)
    await free()
    # The server would have stayed silent for thirty seconds.
    assert time.monotonic() - started < 2


async def test_a_reader_who_leaves_between_two_chunks_hangs_up(runtime: BedrockRuntime, account: Account) -> None:
    async with aclosing(Bedrock(account, "m").stream(prompt("fault:hangs"))) as chunks:
        async for chunk in chunks:
            assert text_of([chunk]).startswith("word0 ")
            break
    assert await asyncio.to_thread(runtime.gone.wait, 5)
    await free()


async def test_a_slow_reader_holds_the_server_back(runtime: BedrockRuntime, account: Account) -> None:
    async with aclosing(Bedrock(account, "m").stream(prompt("fault:floods"))) as chunks:
        assert await anext(chunks)
        before = -1
        while runtime.sent != before:  # until the buffers between are full
            before = runtime.sent
            await asyncio.sleep(0.1)
        # 64 events of 8,000 bytes, what one batch held, and the sockets' buffers; the server would send 100 MB.
        assert runtime.sent < 20_000_000
    assert await asyncio.to_thread(runtime.gone.wait, 5)
    await free()


async def test_a_call_that_waits_for_a_thread_and_is_cancelled_is_never_made(
    runtime: BedrockRuntime, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = calls.ThreadPoolExecutor(1)
    monkeypatch.setattr(calls, "_threads", lambda: only)
    release = threading.Event()
    only.submit(release.wait, 10)
    bedrock = Bedrock(account, "m")
    tasks = [asyncio.create_task(bedrock.complete(prompt())), asyncio.create_task(all_of(bedrock, prompt()))]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(ended, asyncio.CancelledError)
    release.set()
    await asyncio.to_thread(only.shutdown)
    assert runtime.requests == []


async def test_a_late_cancellation_leaves_the_next_call_on_the_same_connection_alone(
    runtime: BedrockRuntime, account: Account
) -> None:
    bedrock = Bedrock(account, "m")
    runtime.events = [*text_events(WORDS), *closing()]
    chunks = bedrock.stream(prompt())
    first = await anext(chunks)
    await free()  # all of it has arrived, and its connection is free
    second = asyncio.create_task(all_of(bedrock, prompt("fault:hangs")))
    assert await asyncio.to_thread(runtime.streaming.wait, 5)
    await chunks.aclose()
    assert first.choices and not runtime.gone.wait(0.1)
    assert runtime.connections == 1
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
