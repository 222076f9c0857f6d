"""What a customer's LangChain program does, against Atrium: nothing but the address and the key is Atrium's.

    python langchain_app.py <base url> <key>

Runs in an environment without Atrium (`make verify-clients`) and prints what it got, as JSON.
"""

import asyncio
import json
import sys
from typing import Any

import openai
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

URL, KEY = sys.argv[1:]
PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///ywAAAAAAQABAAACAUwAOw=="


class Weather(BaseModel):
    """The weather of a city."""

    city: str
    degrees: int


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"4 degrees in {city}"


def chat(**options: Any) -> ChatOpenAI:
    return ChatOpenAI(model="gpt-4o-mini", base_url=URL, api_key=KEY, max_retries=0, **options)


def answered(message: AIMessage) -> dict[str, Any]:
    return {"text": message.text, "usage": [message.usage_metadata[f"{kind}_tokens"] for kind in ("input", "output")]}


def called() -> dict[str, Any]:
    """A tool is asked for, run here, and its result answered; streamed too."""
    model = chat().bind_tools([weather])
    turns = [HumanMessage("fault:calls How warm is Oslo?")]
    asked = model.invoke(turns)
    [call] = asked.tool_calls
    turns += [asked, ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"])]
    whole = None
    for chunk in model.stream(turns[:1]):
        whole = chunk if whole is None else whole + chunk
    streamed = [[call["name"], call["args"]] for call in whole.tool_calls]
    return {"call": [call["name"], call["args"]], "streamed": streamed, "answer": model.invoke(turns).text}


def streamed(model: ChatOpenAI) -> dict[str, Any]:
    parts = list(model.stream("hello"))
    whole = parts[0]
    for part in parts[1:]:
        whole += part
    return {**answered(whole), "parts": len([part for part in parts if part.text])}


async def asynchronous() -> dict[str, Any]:
    model = chat()
    first, *_ = await asyncio.gather(*(model.ainvoke(f"hello {number}") for number in range(3)))
    return {"ainvoke": answered(first), "astream": "".join([part.text async for part in model.astream("hello")])}


def refused() -> list[Any]:
    """(status, code) of what cannot work."""
    found = []
    for model in (
        ChatOpenAI(model="gpt-unknown", base_url=URL, api_key=KEY),
        ChatOpenAI(model="gpt-4o-mini", base_url=URL, api_key="sk-wrong"),
    ):
        try:
            model.invoke("hello")
        except openai.APIStatusError as error:
            found.append([error.status_code, error.code])
    return found


def embedded() -> dict[str, Any]:
    """By default it sends tokens of cl100k_base, not text."""
    model = OpenAIEmbeddings(model="text-embedding-3-small", base_url=URL, api_key=KEY)
    text = OpenAIEmbeddings(
        model="all-MiniLM-L6-v2", base_url=URL, api_key=KEY, check_embedding_ctx_length=False
    ).embed_query("hello world")
    return {
        "documents": model.embed_documents(["hello world", "a longer text than that"]),
        "query": asyncio.run(model.aembed_query("hello world")),
        "built_in": len(text),
    }


def main() -> None:
    image = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    shape = chat().with_structured_output(Weather).invoke("fault:says-json How warm is Oslo?")
    found = {
        "invoke": answered(chat(temperature=0.2, max_tokens=20, stop=["never"]).invoke("hello")),
        "stream": streamed(chat(stream_usage=True)),
        "batch": [message.text for message in chat().batch(["one", "two"])],
        "image": chat().invoke([HumanMessage(image)]).text,
        "tools": called(),
        "structured": shape.model_dump(),
        "responses": answered(chat(use_responses_api=True).invoke("hello")),
        "responses_stream": streamed(chat(use_responses_api=True)),
        "refused": refused(),
        "embeddings": embedded(),
        **asyncio.run(asynchronous()),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
