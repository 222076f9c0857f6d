"""Our clients against a real server, llama.cpp's, with a tiny random model: what no server of our own can show.

`make verify-providers` installs it and runs these: plain and streamed answers, their sameness, usage, limits, stop
sequences, the end of sequence, log probabilities, answers by a schema, a forced tool call, embeddings, refusals, wrong
keys and models, and that breaking off hangs up and leaves the server well.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import numpy as np
import psutil
import pytest

from inference.providers.base import Chunk, Prompt, ProviderError, Usage
from inference.providers.openai_chat import OpenAIChat
from inference.providers.openai_compatible import OpenAICompatible
from inference.providers.openai_http import close_session
from tests.llama.server import CONTEXT, DIMENSIONS, KEY, Llama, llama

pytestmark = pytest.mark.llama


@pytest.fixture(scope="module")
def server() -> Iterator[Llama]:
    with llama() as running:
        yield running


@pytest.fixture
async def chat(server: Llama) -> AsyncIterator[OpenAIChat]:
    yield OpenAIChat(base_url=server.url, model="nonsense", api_key=KEY)
    await close_session()


def asked(said: str = "hello there", limit: int = 12, **body: Any) -> Prompt:
    return Prompt({"messages": [{"role": "user", "content": said}], "temperature": 0, **body}, limit)


async def whole(chat: OpenAIChat, prompt: Prompt) -> tuple[dict[str, Any], Usage]:
    found = await chat.complete(prompt)
    assert found.usage is not None
    return found.choices[0], found.usage


async def streamed(chat: OpenAIChat, prompt: Prompt) -> list[Chunk]:
    return [chunk async for chunk in chat.stream(prompt)]


def choices_of(chunks: list[Chunk]) -> list[dict[str, Any]]:
    return [choice for chunk in chunks for choices in chunk.choices for choice in choices]


def text_of(chunks: list[Chunk]) -> str:
    return "".join(choice["delta"].get("content") or "" for choice in choices_of(chunks))


async def test_an_answer_and_its_stream_are_the_same_text_and_end_at_the_limit(chat: OpenAIChat) -> None:
    choice, usage = await whole(chat, asked(limit=12))
    chunks = await streamed(chat, asked(limit=12))
    assert text_of(chunks) == choice["message"]["content"] != ""
    assert choice["finish_reason"] == choices_of(chunks)[-1]["finish_reason"] == "length"
    # One token a word of the model's vocabulary, each with a space before it.
    assert usage.output_tokens == 12 == choice["message"]["content"].count(" ")
    # "user: hello there\nassistant: ", mostly a token a character, and the begin of the sequence.
    assert 20 <= usage.input_tokens <= 40


async def test_usage_follows_limit_and_prompt(chat: OpenAIChat) -> None:
    _, short = await whole(chat, asked(limit=3))
    _, long = await whole(chat, asked("hello there, hello there", limit=5))
    assert (short.output_tokens, long.output_tokens) == (3, 5)
    assert long.input_tokens > short.input_tokens


async def test_a_stop_sequence_ends_the_answer_before_it(chat: OpenAIChat) -> None:
    full, _ = await whole(chat, asked(limit=12))
    text = full["message"]["content"]
    stop = next(word for word in text.split()[1:] if not text.lstrip().startswith(word))
    cut, usage = await whole(chat, asked(limit=12, stop=[stop]))
    assert cut["message"]["content"] == text[: text.index(stop)] and cut["finish_reason"] == "stop"
    assert usage.output_tokens < 12
    chunks = await streamed(chat, asked(limit=12, stop=[stop]))
    assert text_of(chunks) == cut["message"]["content"] and choices_of(chunks)[-1]["finish_reason"] == "stop"


async def test_the_end_of_the_sequence_is_an_empty_answer(chat: OpenAIChat) -> None:
    """Token 2 ends a sequence; a bias makes it the likeliest at once."""
    choice, usage = await whole(chat, asked(logit_bias={"2": 100}))
    assert (choice["message"]["content"], choice["finish_reason"], usage.output_tokens) == ("", "stop", 0)
    assert choices_of(await streamed(chat, asked(logit_bias={"2": 100})))[-1]["finish_reason"] == "stop"


async def test_log_probabilities_come_along(chat: OpenAIChat) -> None:
    choice, _ = await whole(chat, asked(limit=3, logprobs=True, top_logprobs=2))
    tokens = choice["logprobs"]["content"]
    assert "".join(token["token"] for token in tokens) == choice["message"]["content"]
    assert all(token["logprob"] < 0 and len(token["top_logprobs"]) == 2 for token in tokens)


async def test_an_answer_keeps_to_a_schema_and_a_tool_is_called(chat: OpenAIChat) -> None:
    schema = {"type": "object", "properties": {"colour": {"enum": ["red", "green"]}}, "required": ["colour"]}
    choice, _ = await whole(chat, asked(limit=40, response_format={"type": "json_object", "schema": schema}))
    assert json.loads(choice["message"]["content"])["colour"] in ("red", "green")
    tool = {"type": "function", "function": {"name": "paint", "parameters": schema}}
    wanted = {"type": "function", "function": {"name": "paint"}}
    choice, _ = await whole(chat, asked(limit=40, tools=[tool], tool_choice=wanted))
    [call] = choice["message"]["tool_calls"]
    assert call["function"]["name"] == "paint" and choice["finish_reason"] == "tool_calls"
    assert json.loads(call["function"]["arguments"])["colour"] in ("red", "green")


async def test_too_long_a_prompt_is_the_clients_to_read(chat: OpenAIChat) -> None:
    with pytest.raises(ProviderError) as refused:
        await chat.complete(asked("word " * CONTEXT))
    error = refused.value
    assert (error.code, error.status, error.temporary) == ("context_length_exceeded", 400, False)
    assert str(CONTEXT) in error.message
    # Streamed, this server says 200 and nothing more.
    with pytest.raises(ProviderError) as failed:
        await streamed(chat, asked("word " * CONTEXT))
    assert failed.value.code == "upstream_broke_off"


async def test_a_failure_inside_the_server_and_a_wrong_key(chat: OpenAIChat, server: Llama) -> None:
    with pytest.raises(ProviderError) as failed:
        await chat.complete(asked(top_p="much"))
    assert (failed.value.code, failed.value.temporary) == ("upstream_error", True)
    with pytest.raises(ProviderError) as refused:
        await OpenAIChat(base_url=server.url, model="nonsense", api_key="sk-wrong").complete(asked())
    assert (refused.value.code, refused.value.temporary) == ("upstream_credentials", False)
    assert "sk-wrong" not in refused.value.message


async def test_a_path_that_is_none_and_a_server_that_has_gone(server: Llama, chat: OpenAIChat) -> None:
    with pytest.raises(ProviderError) as missing:
        await OpenAIChat(base_url=server.url + "/none", model="nonsense", api_key=KEY).complete(asked())
    assert missing.value.code == "upstream_model_missing"
    with pytest.raises(ProviderError) as away:
        await OpenAIChat(base_url="http://127.0.0.1:1/v1", model="nonsense", api_key=KEY).complete(asked())
    assert away.value.code == "upstream_unreachable"


async def test_breaking_off_hangs_up_and_the_server_answers_the_next(chat: OpenAIChat, server: Llama) -> None:
    async with aclosing(chat.stream(asked(limit=1200))) as chunks:
        assert text_of([await anext(chunks), await anext(chunks)])
    waiting = asyncio.create_task(chat.complete(asked("and another", limit=1200)))
    await asyncio.sleep(0.05)  # it is on its way; where exactly does not matter
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with asyncio.timeout(2):
        while _connections_to(server.port):
            await asyncio.sleep(0.01)
    choice, _ = await whole(chat, asked(limit=3))
    assert choice["finish_reason"] == "length"


async def test_calls_side_by_side_are_not_mixed_up(chat: OpenAIChat) -> None:
    prompts = [asked(f"number {number}", limit=8) for number in range(6)]
    alone = [(await whole(chat, prompt))[0]["message"]["content"] for prompt in prompts]
    together = await asyncio.gather(*(streamed(chat, prompt) for prompt in prompts))
    assert [text_of(chunks) for chunks in together] == alone
    assert len(set(alone)) > 1


def test_embeddings_come_in_the_order_of_their_texts(server: Llama) -> None:
    client = OpenAICompatible(base_url=server.url, model="nonsense", api_key=KEY)
    vectors, tokens = client.embed(["hello there", "something else", "hello there"])
    found = np.asarray(vectors, np.float32)
    assert found.shape == (3, DIMENSIONS) and np.isfinite(found).all()
    assert np.allclose(found[0], found[2], atol=1e-4) and not np.allclose(found[0], found[1], atol=1e-2)
    assert tokens > 20  # a token a character, nearly


def _connections_to(port: int) -> int:
    return sum(
        connection.status == psutil.CONN_ESTABLISHED and bool(connection.raddr) and connection.raddr.port == port
        for connection in psutil.Process().net_connections("tcp")
    )
