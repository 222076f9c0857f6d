"""Responses and conversations as a customer's app sees them: the `openai` SDK against the running stack."""

from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.e2e.conftest import eventually

pytestmark = pytest.mark.e2e

WORDS = "".join(f"word{number} " for number in range(10))


def test_an_answer_has_text_usage_and_stays_until_it_is_deleted(atrium):
    tenant = atrium.new_tenant()
    client = tenant.sdk()
    made = client.responses.create(model="fake", input="hello", instructions="Be brief.", metadata={"a": "b"})
    assert (made.status, made.output_text, made.model) == ("completed", WORDS, "fake")
    assert (made.usage.input_tokens, made.usage.output_tokens, made.usage.total_tokens) == (7, 10, 17)
    assert atrium.upstream.bodies[-1]["messages"] == [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}
    ]  # fmt: skip
    assert client.responses.retrieve(made.id) == made
    items = client.responses.input_items.list(made.id).data
    assert [item.content[0].text for item in items] == ["hello"]
    assert client.responses.input_tokens.count(model="fake", input="one two three").input_tokens >= 3
    lines = [(meter, quantity, str(cost.normalize())) for meter, quantity, cost in atrium.ledger(tenant)]
    assert lines == [("input_tokens", 7, "0.007"), ("output_tokens", 10, "0.01")]
    assert client.responses.delete(made.id) is None
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)
    assert len(atrium.ledger(tenant)) == 2


def test_a_stream_is_what_the_sdks_helper_understands(acme_running):
    events = list(acme_running.sdk().responses.create(model="fake", input="hello", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [events[0].type, events[1].type, events[-1].type] == [
        "response.created", "response.in_progress", "response.completed"
    ]  # fmt: skip
    with acme_running.sdk().responses.stream(model="fake", input="hello") as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert text == final.output_text == WORDS and final.usage.output_tokens == 10
    assert acme_running.sdk().responses.retrieve(final.id).output_text == WORDS


async def test_the_async_client_does_it_all_too(acme_running):
    async with acme_running.async_sdk() as client:
        made = await client.responses.create(model="fake", input="hello")
        stream = await client.responses.create(model="fake", input="more", previous_response_id=made.id, stream=True)
        last = [event async for event in stream][-1]
        assert last.type == "response.completed" and last.response.previous_response_id == made.id
        assert (await client.responses.retrieve(last.response.id)).output_text == WORDS
        assert [item.role async for item in client.responses.input_items.list(made.id)] == ["user"]
        queued = await client.responses.create(model="fake", input="later", background=True)
        assert queued.status == "queued" and (await client.responses.cancel(queued.id)).id == queued.id
        conversation = await client.conversations.create(items=[{"role": "user", "content": "I am Ada."}])
        await client.responses.create(model="fake", input="hello", conversation=conversation.id)
        roles = [item.role async for item in client.conversations.items.list(conversation.id, order="asc")]
        assert roles == ["user", "user", "assistant"]
        assert (await client.conversations.delete(conversation.id)).deleted
        assert (await client.responses.input_tokens.count(model="fake", input="x")).input_tokens > 0


class Weather(BaseModel):
    city: str
    degrees: int


def test_parse_reads_structured_output(atrium, acme_running):
    parsed = acme_running.sdk().responses.parse(model="fake", input="fault:says-json", text_format=Weather)
    assert parsed.output_parsed == Weather(city="Oslo", degrees=4)
    wanted = atrium.upstream.bodies[-1]["response_format"]
    assert wanted["type"] == "json_schema" and wanted["json_schema"]["name"] == "Weather"


def test_functions_are_called_and_answered_over_two_responses(atrium, acme_running):
    client = acme_running.sdk()
    tools: Any = [{"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}]
    for stream in (False, True):
        if stream:
            with client.responses.stream(model="fake", input="fault:calls", tools=tools) as events:
                first = events.until_done().get_final_response()
        else:
            first = client.responses.create(model="fake", input="fault:calls", tools=tools)
        [call] = first.output
        assert (call.type, call.name, call.arguments) == ("function_call", "weather", '{"city": "Oslo"}')
        with pytest.raises(openai.BadRequestError, match="No tool output found for function call call_"):
            client.responses.create(model="fake", input="so?", previous_response_id=first.id, tools=tools)
        answer: Any = [
            {"type": "function_call_output", "call_id": call.call_id, "output": "rain"},
            {"role": "user", "content": "so?"},
        ]
        second = client.responses.create(model="fake", input=answer, previous_response_id=first.id, tools=tools)
        assert second.output_text == WORDS
        sent = atrium.upstream.bodies[-1]["messages"]
        assert [message["role"] for message in sent] == ["user", "assistant", "tool", "user"]
        assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"] == call.call_id


def test_a_conversation_goes_on_and_a_second_response_waits_its_turn(atrium, acme_running):
    client = acme_running.sdk()
    conversation = client.conversations.create(metadata={"topic": "herons"})
    client.responses.create(model="fake", input="I am Ada.", conversation=conversation.id)
    running = client.responses.create(model="fake", input="fault:slow", conversation=conversation.id, background=True)
    with pytest.raises(openai.ConflictError) as locked:
        client.responses.create(model="fake", input="me too", conversation=conversation.id)
    assert locked.value.code == "conversation_locked"
    atrium.upstream.release.set()
    eventually(lambda: client.responses.retrieve(running.id).status == "completed")
    client.responses.create(model="fake", input="Who am I?", conversation={"id": conversation.id})
    said = [message["content"] for message in atrium.upstream.bodies[-1]["messages"]]
    assert said == ["I am Ada.", WORDS, "fault:slow", WORDS, "Who am I?"]
    items = list(client.conversations.items.list(conversation.id, limit=2, order="asc"))
    assert [item.role for item in items] == ["user", "assistant"] * 3 and len({item.id for item in items}) == 6
    added = client.conversations.items.create(conversation.id, items=[{"role": "user", "content": "bye"}])
    item = added.data[0].id
    assert client.conversations.items.retrieve(item, conversation_id=conversation.id).id == item
    assert client.conversations.items.delete(item, conversation_id=conversation.id).id == conversation.id
    assert client.conversations.update(conversation.id, metadata={"topic": "owls"}).metadata == {"topic": "owls"}
    assert client.conversations.delete(conversation.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve(conversation.id)


def test_a_background_response_is_queued_polled_and_cancelled_while_it_runs(atrium):
    tenant = atrium.new_tenant()
    client = tenant.sdk()
    once = {"Idempotency-Key": "once"}
    done = client.responses.create(model="fake", input="hello", background=True, extra_headers=once)
    assert done.status == "queued" and done.output == []
    assert client.responses.create(model="fake", input="hello", background=True, extra_headers=once).id == done.id
    finished = eventually(lambda: (r := client.responses.retrieve(done.id)).status == "completed" and r)
    assert finished.output_text == WORDS and finished.background
    running = client.responses.create(model="fake", input="fault:slow", background=True)
    eventually(lambda: client.responses.retrieve(running.id).status == "in_progress")
    assert client.responses.cancel(running.id).status == "cancelled"
    assert client.responses.cancel(running.id).status == "cancelled"
    assert client.responses.retrieve(running.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError, match="synchronous"):
        client.responses.cancel(client.responses.create(model="fake", input="x").id)
    tenant_calls = "SELECT state, count(*) FROM inference_generation WHERE tenant_id = %s GROUP BY 1 ORDER BY 1"
    assert atrium.sql(tenant_calls, tenant.id) == [("cancelled", 1), ("completed", 2)]
    atrium.settled(tenant)


async def test_a_stream_from_the_background_outlives_its_client_who_goes_on_where_it_was(atrium, acme_running):
    client = acme_running.sdk()
    stream = client.responses.create(model="fake", input="fault:hangs", background=True, stream=True)
    heard = [event for event, _ in zip(stream, range(5), strict=False)]
    stream.close()
    ident = heard[0].response.id
    rest = iter(client.responses.retrieve(ident, stream=True, starting_after=heard[-1].sequence_number))
    heard.append(next(rest))  # while it still hangs
    atrium.upstream.release.set()
    heard += rest
    assert [event.sequence_number for event in heard] == list(range(len(heard)))
    assert "".join(event.delta for event in heard if event.type == "response.output_text.delta") == WORDS
    assert heard[-1].type == "response.completed" and heard[-1].response == client.responses.retrieve(ident)
    async with acme_running.async_sdk() as patient:  # and once more, from the beginning, after its end
        again = [event async for event in await patient.responses.retrieve(ident, stream=True)]
    assert [event.model_dump() for event in again] == [event.model_dump() for event in heard]
    client.responses.delete(ident)
    plain = client.responses.create(model="fake", input="x")
    for missing, why in ((ident, openai.NotFoundError), (plain.id, openai.BadRequestError)):
        with pytest.raises(why):
            client.responses.retrieve(missing, stream=True)


def test_a_stream_that_breaks_off_ends_with_a_failed_response(acme_running):
    events = list(acme_running.sdk().responses.create(model="fake", input="fault:breaks-off", stream=True))
    assert events[-1].type == "response.failed" and events[-1].response.error.code == "server_error"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kept = acme_running.sdk().responses.retrieve(events[0].response.id)
    assert kept.status == "failed" and kept.error.message == events[-1].response.error.message


def test_an_answer_from_files_is_cited_and_its_search_shown(acme_running):
    client = acme_running.sdk()
    text = b"Replace the axis seals every 24 months. At sites close to the sea replace them every 12 months."
    store = client.vector_stores.create(name="manual")
    file = client.files.create(file=("seals.txt", text), purpose="assistants")
    client.vector_stores.files.create_and_poll(file_id=file.id, vector_store_id=store.id, poll_interval_ms=50)
    answer = client.responses.create(
        model="local-extractive", input="How often must the axis seals be replaced?",
        tools=[{"type": "file_search", "vector_store_ids": [store.id]}], include=["file_search_call.results"],
    )  # fmt: skip
    search, message = answer.output
    assert search.queries == ["How often must the axis seals be replaced?"] and search.status == "completed"
    assert search.results[0].file_id == file.id and "24 months" in search.results[0].text
    [cited, *_] = message.content[0].annotations
    assert (cited.type, cited.file_id, cited.filename) == ("file_citation", file.id, "seals.txt")
    assert "24 months" in answer.output_text
    # The documents' text is not carried into the next turn, the answer is.
    again = client.responses.create(model="local-extractive", input="And by the sea?", previous_response_id=answer.id)
    assert again.status == "completed"


@pytest.mark.parametrize("body", [{"store": False}, {}])
def test_nothing_is_kept_that_must_not_be(atrium, body):
    tenant = atrium.new_tenant(retention_days=30 if body else 0)
    made = tenant.sdk().responses.create(model="fake", input="a secret", **body)
    assert made.output_text == WORDS
    with pytest.raises(openai.NotFoundError):
        tenant.sdk().responses.retrieve(made.id)
    with pytest.raises(openai.BadRequestError) as erased:
        tenant.sdk().responses.create(model="fake", input="x", previous_response_id=made.id)
    assert erased.value.code == "previous_response_erased"
    rows = atrium.sql("SELECT request, answer FROM inference_generation WHERE tenant_id = %s", tenant.id)
    assert rows == [(None, None)]


def test_bad_requests_name_the_parameter_as_it_was_sent(acme_running):
    client = acme_running.sdk()
    for body, param, code in (
        ({"max_output_tokens": 10**9}, "max_output_tokens", "invalid_value"),
        ({"input": "word " * 20_000}, "input", "context_length_exceeded"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type", "unsupported_tool"),
        ({"previous_response_id": "resp_x", "conversation": "conv_x"}, "previous_response_id", "invalid_value"),
    ):
        with pytest.raises(openai.BadRequestError) as refused:
            client.responses.create(**{"model": "fake", "input": "hello", **body})
        assert (refused.value.body["param"], refused.value.code) == (param, code)
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="fake", input="x", conversation="conv_" + "0" * 32)
