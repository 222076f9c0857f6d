"""What a customer's LlamaIndex program does, against Atrium: nothing but the address and the key is Atrium's.

    python llama_index_app.py <base url> <key>

Runs in an environment without Atrium (`make verify-clients`) and prints what it got, as JSON. LlamaIndex knows OpenAI's
models by name only, so the tenant's grants are called as those.
"""

import asyncio
import json
import sys
from typing import Any

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai import OpenAI, OpenAIResponses
from pydantic import BaseModel

URL, KEY = sys.argv[1:]
MODEL = OpenAI(model="gpt-4o-mini", api_base=URL, api_key=KEY, max_retries=0)
TURNS = [ChatMessage(role="system", content="Be short."), ChatMessage(role="user", content="hello")]


class Weather(BaseModel):
    """The weather of a city."""

    city: str
    degrees: int


def weather(city: str) -> str:
    """The weather of a city."""
    return f"4 degrees in {city}"


async def asynchronous() -> dict[str, Any]:
    stream = await MODEL.astream_chat(TURNS)
    return {
        "achat": (await MODEL.achat(TURNS)).message.content,
        "acomplete": (await MODEL.acomplete("hello")).text,
        "astream_chat": "".join([part.delta async for part in stream]),
    }


def called() -> dict[str, Any]:
    """A tool is asked for, and run here."""
    tools = [FunctionTool.from_defaults(weather)]
    asked = MODEL.chat_with_tools(tools, user_msg="fault:calls How warm is Oslo?")
    [call] = MODEL.get_tool_calls_from_response(asked)
    ran = MODEL.predict_and_call(tools, user_msg="fault:calls How warm is Oslo?")
    return {"call": [call.tool_name, call.tool_kwargs], "answer": str(ran.response)}


def embedded() -> dict[str, Any]:
    model = OpenAIEmbedding(model="text-embedding-3-small", api_base=URL, api_key=KEY)
    return {
        "documents": model.get_text_embedding_batch(["hello world", "a longer text than that"]),
        "query": model.get_query_embedding("hello world"),
        "async": asyncio.run(model.aget_text_embedding("hello world")),
    }


def main() -> None:
    responses = OpenAIResponses(model="gpt-4o-mini", api_base=URL, api_key=KEY, max_retries=0)
    shape = MODEL.as_structured_llm(Weather).complete("fault:says-json How warm is Oslo?")
    found = {
        "complete": MODEL.complete("hello").text,
        "stream_complete": "".join(part.delta for part in MODEL.stream_complete("hello")),
        "chat": MODEL.chat(TURNS).message.content,
        "stream_chat": "".join(part.delta for part in MODEL.stream_chat(TURNS)),
        "tools": called(),
        "structured": shape.raw.model_dump(),
        "responses": responses.chat(TURNS).message.content,
        "responses_stream": "".join(part.delta for part in responses.stream_chat(TURNS)),
        "embeddings": embedded(),
        **asyncio.run(asynchronous()),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
