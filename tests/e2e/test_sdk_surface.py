"""Every method of the `openai` SDK that Atrium speaks, with the plain and the async client, on the running stack.

Complete by construction: a method of these resources that is neither called here nor in `NOT_SPOKEN` fails the test.
What the answers hold in detail is the business of the other modules here.
"""

import functools
import inspect
import io
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import openai
import pytest
from openai import resources
from openai.resources.chat.completions import AsyncMessages, Messages
from openai.resources.conversations import AsyncItems, Items
from openai.resources.responses.input_items import AsyncInputItems, InputItems
from openai.resources.responses.input_tokens import AsyncInputTokens, InputTokens
from openai.resources.vector_stores import AsyncFileBatches, FileBatches
from openai.resources.vector_stores import AsyncFiles as AsyncStoreFiles
from openai.resources.vector_stores import Files as StoreFiles
from openai.resources.webhooks import AsyncEventTypes, AsyncWebhooks, EventTypes, Webhooks
from pydantic import BaseModel

from tests.e2e.conftest import eventually
from tests.e2e.upstream import WORDS
from tests.knowledge.sources.servers import Site, site

pytestmark = [pytest.mark.e2e, pytest.mark.long]

TEXT = "".join(WORDS)
PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///ywAAAAAAQABAAACAUwAOw=="
HELLO = [{"role": "user", "content": "hello"}]
WEATHER = {"city": "Oslo", "degrees": 4}
SCHEMA = {
    "type": "object", "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
    "required": ["city", "degrees"], "additionalProperties": False,
}  # fmt: skip
FUNCTION = {"name": "weather", "description": "The weather", "parameters": {"type": "object", "properties": {}}}


class Weather(BaseModel):
    """What a structured answer says."""

    city: str
    degrees: int


#: name → the resource's classes, of the plain and of the async client.
RESOURCES: dict[str, tuple[type, type]] = {
    "models": (resources.Models, resources.AsyncModels),
    "chat.completions": (resources.chat.Completions, resources.chat.AsyncCompletions),
    "chat.completions.messages": (Messages, AsyncMessages),
    "responses": (resources.responses.Responses, resources.responses.AsyncResponses),
    "responses.input_items": (InputItems, AsyncInputItems),
    "responses.input_tokens": (InputTokens, AsyncInputTokens),
    "conversations": (resources.conversations.Conversations, resources.conversations.AsyncConversations),
    "conversations.items": (Items, AsyncItems),
    "embeddings": (resources.Embeddings, resources.AsyncEmbeddings),
    "batches": (resources.Batches, resources.AsyncBatches),
    "files": (resources.Files, resources.AsyncFiles),
    "vector_stores": (resources.VectorStores, resources.AsyncVectorStores),
    "vector_stores.files": (StoreFiles, AsyncStoreFiles),
    "vector_stores.file_batches": (FileBatches, AsyncFileBatches),
    "webhooks": (Webhooks, AsyncWebhooks),
    "webhooks.event_types": (EventTypes, AsyncEventTypes),
}
#: Methods of these resources that Atrium does not speak, or that are tested elsewhere.
NOT_SPOKEN = {
    "models.delete",  # of fine-tuned models
    "responses.compact",
    "responses.connect",  # WebSockets
    "files.retrieve_content",  # the deprecated name of `content`
}


@dataclass
class Client:
    """Either client: what it answers is awaited where it must be."""

    sdk: Any
    #: A model that sees.
    sees: str
    called: set[str] = field(default_factory=set)

    async def __call__(self, answer: Any) -> Any:
        return await answer if inspect.isawaitable(answer) else answer

    async def events(self, stream: Any) -> list[Any]:
        """All of a stream, or of one that a helper opens."""
        return [event async for event in self._events(await self(stream))]

    async def _events(self, stream: Any) -> AsyncIterator[Any]:
        if hasattr(stream, "__aenter__"):
            async with stream as opened:
                async for event in opened:
                    yield event
        else:
            with stream as opened:
                for event in opened:
                    yield event


def methods(resource: type) -> dict[str, Callable[..., Any]]:
    """The public methods that a resource's class defines."""
    return {name: found for name, found in vars(resource).items() if inspect.isfunction(found) and name[0] != "_"}


@pytest.fixture(params=["plain", "async"])
async def client(request, atrium, monkeypatch) -> AsyncIterator[Client]:
    """A client that notes which methods were called."""
    sees = atrium.new_model("ok")
    atrium.upstream.mended.add(sees)
    atrium.sql("UPDATE inference_model SET capabilities = '{vision}' WHERE name = %s RETURNING id", sees)
    tenant = atrium.new_tenant(budget="1000", grants=(sees,))
    made = Client(tenant.sdk() if request.param == "plain" else tenant.async_sdk(), sees)
    for name, classes in RESOURCES.items():
        resource = classes[request.param == "async"]
        for method, function in methods(resource).items():

            def noted(*args: Any, _function: Any = function, _name: str = f"{name}.{method}", **options: Any) -> Any:
                made.called.add(_name)
                return _function(*args, **options)

            monkeypatch.setattr(resource, method, functools.wraps(function)(noted))
    yield made
    if request.param == "async":
        await made.sdk.close()


async def test_every_method_answers(client: Client) -> None:
    with site() as hooks:
        secret = await _webhooks(client, hooks)
        await _responses(client)
        await _told(client, hooks, secret)
    await _models(client)
    await _chat(client)
    await _stored(client)
    await _conversations(client)
    await _embeddings(client)
    await _files_and_batches(client)
    await _vector_stores(client)
    every = {f"{name}.{method}" for name, classes in RESOURCES.items() for method in methods(classes[0])}
    assert client.called == every - NOT_SPOKEN


async def _models(client: Client) -> None:
    names = {model.id for model in (await client(client.sdk.models.list())).data}
    assert {"fake", "local-extractive", "all-MiniLM-L6-v2"} <= names
    assert (await client(client.sdk.models.retrieve("fake"))).object == "model"


async def _chat(client: Client) -> None:
    chat = client.sdk.chat.completions

    async def asked(content: Any = "hello", **options: Any) -> Any:
        messages = [{"role": "user", "content": content}]
        return await client(chat.create(**{"model": "fake", "messages": messages, **options}))

    answer = await asked(
        temperature=0.5, top_p=0.9, stop=["never"], seed=7, max_completion_tokens=50, user="u", metadata={"a": "b"},
        safety_identifier="s", service_tier="auto", reasoning_effort="low", presence_penalty=0.1, frequency_penalty=0.1,
    )  # fmt: skip
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (TEXT, "stop")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (7, 10)
    assert [choice.index for choice in (await asked(n=3)).choices] == [0, 1, 2]
    [logged] = (await asked(logprobs=True, top_logprobs=2)).choices
    assert [entry.token for entry in logged.logprobs.content] == WORDS
    image = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    assert (await asked(image, model=client.sees)).choices[0].message.content == TEXT
    with pytest.raises(openai.BadRequestError, match="cannot see images"):
        await asked(image)
    tools = {"tools": [{"type": "function", "function": FUNCTION}], "tool_choice": "auto", "parallel_tool_calls": False}
    [call] = (await asked("fault:calls", **tools)).choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Oslo"})
    shape = {"type": "json_schema", "json_schema": {"name": "weather", "schema": SCHEMA, "strict": True}}
    said = await asked("fault:says-json", response_format=shape)
    assert json.loads(said.choices[0].message.content) == WEATHER
    says = [{"role": "user", "content": "fault:says-json"}]
    parsed = await client(chat.parse(model="fake", messages=says, response_format=Weather))
    assert parsed.choices[0].message.parsed == Weather(**WEATHER)
    chunks = await client.events(await asked(stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == TEXT
    assert (chunks[-1].choices, chunks[-1].usage.total_tokens) == ([], 17)
    helped = await client.events(chat.stream(model="fake", messages=HELLO))
    assert next(event.content for event in helped if event.type == "content.done") == TEXT


async def _stored(client: Client) -> None:
    chat = client.sdk.chat.completions
    kept = await client(chat.create(model="fake", messages=HELLO, store=True, metadata={"topic": "herons"}))
    assert (await client(chat.retrieve(kept.id))).choices[0].message.content == TEXT
    assert [found.id for found in (await client(chat.list(metadata={"topic": "herons"}))).data] == [kept.id]
    assert [found.content for found in (await client(chat.messages.list(kept.id))).data] == ["hello"]
    assert (await client(chat.update(kept.id, metadata={"topic": "terns"}))).metadata == {"topic": "terns"}
    assert (await client(chat.delete(kept.id))).deleted
    with pytest.raises(openai.NotFoundError):
        await client(chat.retrieve(kept.id))


async def _responses(client: Client) -> None:
    responses = client.sdk.responses
    made = await client(responses.create(model="fake", input="hello"))
    assert (made.status, made.output_text) == ("completed", TEXT)
    assert (await client(responses.retrieve(made.id))).output_text == TEXT
    assert [item.role for item in (await client(responses.input_items.list(made.id))).data] == ["user"]
    assert (await client(responses.input_tokens.count(model="fake", input="hello"))).input_tokens > 0
    parsed = await client(responses.parse(model="fake", input="fault:says-json", text_format=Weather))
    assert parsed.output_parsed == Weather(**WEATHER)
    events = await client.events(responses.stream(model="fake", input="hello", previous_response_id=made.id))
    assert events[-1].type == "response.completed" and events[-1].response.output_text == TEXT
    queued = await client(responses.create(model="fake", input="hello", background=True))
    assert (await client(responses.cancel(queued.id))).id == queued.id
    await client(responses.delete(made.id))
    with pytest.raises(openai.NotFoundError):
        await client(responses.retrieve(made.id))


async def _conversations(client: Client) -> None:
    conversations = client.sdk.conversations
    made = await client(conversations.create(items=[{"role": "user", "content": "hello"}], metadata={"a": "b"}))
    assert (await client(conversations.retrieve(made.id))).metadata == {"a": "b"}
    assert (await client(conversations.update(made.id, metadata={"a": "c"}))).metadata == {"a": "c"}
    added = await client(conversations.items.create(made.id, items=[{"role": "user", "content": "more"}]))
    item = added.data[0].id
    assert (await client(conversations.items.retrieve(item, conversation_id=made.id))).id == item
    assert len((await client(conversations.items.list(made.id))).data) == 2
    await client(conversations.items.delete(item, conversation_id=made.id))
    assert len((await client(conversations.items.list(made.id))).data) == 1
    assert (await client(conversations.delete(made.id))).deleted


async def _webhooks(client: Client, hooks: Site) -> str:
    """An endpoint that wants to hear of responses; returns its secret."""
    webhooks = client.sdk.webhooks
    hooks.pages["/in"] = (204, {}, b"")
    types = (await client(webhooks.event_types.list())).data
    assert {"response.completed", "batch.completed"} <= set(types)
    made = await client(webhooks.create(name="n", url=hooks.url("/elsewhere"), event_types=["batch.completed"]))
    assert (await client(webhooks.retrieve(made.id))).signing_secret_hint.endswith(made.signing_secret[-4:])
    changed = await client(webhooks.update(made.id, url=hooks.url("/in"), event_types=["response.completed"]))
    assert changed.event_types == ["response.completed"]
    assert [found.id for found in (await client(webhooks.list())).data] == [made.id]
    tested = await client(webhooks.test(made.id, event_type="response.completed"))
    assert (tested.status_code, tested.webhook_endpoint_id) == (204, made.id)
    sample = client.sdk.webhooks.unwrap(hooks.seen[0].body, hooks.seen[0].headers, secret=made.signing_secret)
    assert sample.type == "response.completed"
    rotated = await client(webhooks.rotate_secret(made.id, keep_old_secret_active_for_24_hours=True))
    assert rotated.signing_secret != made.signing_secret
    spare = await client(webhooks.create(name="n", url=hooks.url("/in"), event_types=["batch.failed"]))
    assert (await client(webhooks.delete(spare.id))).deleted
    return rotated.signing_secret


async def _told(client: Client, hooks: Site, secret: str) -> None:
    """The endpoint hears of a response that a worker makes, signed with its secret."""
    queued = await client(client.sdk.responses.create(model="fake", input="hello", background=True))
    eventually(lambda: any(queued.id.encode() in seen.body for seen in hooks.seen))
    seen = next(seen for seen in hooks.seen if queued.id.encode() in seen.body)
    client.sdk.webhooks.verify_signature(seen.body, seen.headers, secret=secret)


async def _embeddings(client: Client) -> None:
    for options in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}, {"dimensions": 384}):
        made = await client(
            client.sdk.embeddings.create(model="all-MiniLM-L6-v2", input=["a heron", "a tern"], **options)
        )
        assert [row.index for row in made.data] == [0, 1] and made.usage.prompt_tokens > 0
    with pytest.raises(openai.BadRequestError, match="reads text, not token arrays"):
        await client(client.sdk.embeddings.create(model="all-MiniLM-L6-v2", input=[15339, 1917]))


async def _files_and_batches(client: Client) -> None:
    files, batches = client.sdk.files, client.sdk.batches
    line = {
        "custom_id": "1",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "fake", "messages": HELLO},
    }
    sent = io.BytesIO(json.dumps(line).encode())
    sent.name = "lines.jsonl"
    file = await client(files.create(file=sent, purpose="batch"))
    assert (await client(files.wait_for_processing(file.id, poll_interval=0.1))).id == file.id
    assert (await client(files.retrieve(file.id))).filename == "lines.jsonl"
    assert file.id in {found.id for found in (await client(files.list(purpose="batch"))).data}
    assert (await client(files.content(file.id))).content == sent.getvalue()
    batch = await client(
        batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    )
    assert (await client(batches.retrieve(batch.id))).input_file_id == file.id
    assert [found.id for found in (await client(batches.list())).data] == [batch.id]
    stopped = await client(batches.cancel(batch.id))
    assert stopped.status in ("cancelling", "cancelled", "completed")
    spare = await client(files.create(file=("a.txt", b"A heron nests here."), purpose="assistants"))
    assert (await client(files.delete(spare.id))).deleted


async def _vector_stores(client: Client) -> None:
    stores, files = client.sdk.vector_stores, client.sdk.files
    notes = [
        ("heron.txt", b"The heron nests here."),
        ("tern.txt", b"The tern dives."),
        ("gull.txt", b"The gull cries."),
    ]
    sent = [(await client(files.create(file=note, purpose="assistants"))).id for note in notes]
    made = await client(stores.create(name="birds"))
    assert (await client(stores.update(made.id, name="sea birds"))).name == "sea birds"
    assert (await client(stores.retrieve(made.id))).id == made.id
    assert made.id in {found.id for found in (await client(stores.list())).data}
    at, many = {"vector_store_id": made.id}, {"poll_interval_ms": 100}
    await client(stores.files.create(file_id=sent[0], **at))
    assert (await client(stores.files.poll(sent[0], **at, **many))).status == "completed"
    assert (await client(stores.files.create_and_poll(sent[1], **at, **many))).status == "completed"
    await client(stores.files.upload(file=("owl.txt", b"The owl waits."), **at))
    uploaded = await client(stores.files.upload_and_poll(file=("rail.txt", b"The rail hides."), **at, **many))
    assert (await client(stores.files.retrieve(uploaded.id, **at))).status == "completed"
    assert (await client(stores.files.update(uploaded.id, attributes={"a": 1}, **at))).attributes == {"a": 1}
    assert len((await client(stores.files.list(made.id))).data) == 4
    content = await client(stores.files.content(uploaded.id, **at))
    assert content.data[0].text == "The rail hides."
    await client(stores.files.delete(uploaded.id, **at))
    batches = stores.file_batches
    batch = await client(batches.create(made.id, file_ids=[sent[2]]))
    assert (await client(batches.poll(batch.id, **at, **many))).status == "completed"
    assert (await client(batches.retrieve(batch.id, **at))).file_counts.total == 1
    assert [file.id for file in (await client(batches.list_files(batch.id, **at))).data] == [sent[2]]
    again = await client(batches.create_and_poll(made.id, file_ids=[sent[1]], **many))
    assert again.file_counts.in_progress == 0
    more = [("auk.txt", b"The auk swims."), ("jay.txt", b"The jay calls.")]
    assert (await client(batches.upload_and_poll(made.id, files=more, **many))).file_counts.completed == 2
    stopped = await client(batches.create(made.id, file_ids=[uploaded.id]))
    assert (await client(batches.cancel(stopped.id, **at))).id == stopped.id
    found = await client(stores.search(made.id, query="Where does the heron nest?", max_num_results=3))
    assert found.data[0].filename == "heron.txt"
    assert (await client(stores.delete(made.id))).deleted
