"""What came before a response: found, seen by whom it may be, shortened where it must, never copied."""

import orjson
import pytest

from inference.admission import ContextLengthExceeded
from inference.responses.history import ContentsErased, NotEndedYet, Sight
from tenants.errors import NotFound
from tests.conftest import Member

from .conftest import Admit

SEARCH = [{"type": "file_search", "vector_store_ids": ["vs_1"]}]
FUNCTION = [{"type": "function", "name": "f"}]


def texts(messages: list[dict]) -> list[tuple[str, str]]:
    return [(message["role"], message.get("content") or "") for message in messages]


def test_a_chain_is_read_back_to_its_beginning_and_not_copied(acme: Member, admit: Admit) -> None:
    first = admit(acme, input="My name is Ada.", instructions="Be brief.")
    first.end("Hello, Ada.")
    second = admit(acme, input="I like herons.", previous_response_id=first.public)
    second.end("So do I.")
    third = admit(acme, input="Who am I?", previous_response_id=second.public, instructions="Be kind.")
    # The instructions of earlier turns are not carried over.
    assert texts(third.chat()) == [
        ("system", "Be kind."), ("user", "My name is Ada."), ("assistant", "Hello, Ada."), ("user", "I like herons."),
        ("assistant", "So do I."), ("user", "Who am I?"),
    ]  # fmt: skip
    assert "Ada" not in orjson.dumps(third.stored).decode()


def test_a_missing_a_foreign_and_a_malformed_one_answer_alike(acme: Member, globex: Member, admit: Admit) -> None:
    theirs = admit(acme)
    theirs.end("secret")
    for name in (theirs.public, "resp_" + "0" * 32, "resp_x", "x"):
        with pytest.raises(NotFound) as refused:
            admit(globex, previous_response_id=name)
        assert refused.value.message == f"Response with id '{name}' not found."
        assert refused.value.param == "previous_response_id"


def test_what_is_under_way_or_erased_says_so(acme: Member, admit: Admit) -> None:
    first = admit(acme)
    with pytest.raises(NotEndedYet):
        admit(acme, previous_response_id=first.public)
    first.end("gone", retention_days=0)
    with pytest.raises(ContentsErased):
        admit(acme, previous_response_id=first.public)


def test_one_erased_between_admission_and_worker_fails_the_call_clearly(acme: Member, admit: Admit) -> None:
    first = admit(acme)
    first.end("one")
    second = admit(acme, previous_response_id=first.public)
    assert acme.client.delete(f"/v1/responses/{first.public}").status_code == 200
    with pytest.raises(ContentsErased):
        second.chat()


def test_an_answer_from_documents_is_seen_by_its_groups_only(acme: Member, admit: Admit) -> None:
    answer = admit(acme, tools=SEARCH, groups=("board",))
    answer.end("secret of the board")
    for sight in (Sight(frozenset()), Sight(frozenset({"staff"}))):
        with pytest.raises(NotFound):
            admit(acme, sight=sight, previous_response_id=answer.public)
    for sight in (Sight(None), Sight(frozenset({"board", "staff"}))):
        turn = admit(acme, sight=sight, previous_response_id=answer.public)
        assert "secret of the board" in str(turn.chat(groups=sight.groups or frozenset()))


def test_a_call_of_a_function_goes_on_with_its_output(acme: Member, admit: Admit) -> None:
    first = admit(acme, input="What is f?", tools=FUNCTION)
    first.end({"content": None, "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": '{"a": 1}'}}]})
    output = [{"type": "function_call_output", "call_id": "c1", "output": "42"}]
    second = admit(acme, input=output, previous_response_id=first.public, tools=FUNCTION)
    assert [message["role"] for message in second.chat()] == ["user", "assistant", "tool"]
    assert second.chat()[1]["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a": 1}'}
    assert second.chat()[2] == {"role": "tool", "tool_call_id": "c1", "content": "42"}


def test_an_item_is_referred_to_by_its_id(acme: Member, globex: Member, admit: Admit) -> None:
    first = admit(acme, input="The heron is blue.")
    first.end("Noted.")
    given = acme.client.get(f"/v1/responses/{first.public}/input_items").json()["data"][0]["id"]
    said = acme.client.get(f"/v1/responses/{first.public}").json()["output"][0]["id"]
    references = [{"type": "item_reference", "id": given}, {"id": said}, {"role": "user", "content": "So?"}]
    assert texts(admit(acme, input=references).chat()) == [
        ("user", "The heron is blue."), ("assistant", "Noted."), ("user", "So?")
    ]  # fmt: skip
    with pytest.raises(NotFound, match="Item with id"):
        admit(globex, input=references)


def test_history_is_shortened_to_the_window_oldest_first_and_the_worker_comes_to_the_same(
    acme: Member, admit: Admit
) -> None:
    # About 800 tokens each turn: question and answer of 400 words that are a token each.
    previous: dict[str, str] = {}
    for number in range(5):
        turn = admit(acme, input=f"turn{number} " + "word " * 400, **previous)
        turn.end("word " * 400)
        previous = {"previous_response_id": turn.public}
    last = admit(acme, input="And now?", window=2_400, max_output_tokens=200, **previous)
    kept = texts(last.chat())
    assert [text.split()[0] for role, text in kept if role == "user"] == ["turn3", "turn4", "And"]
    assert [role for role, _ in kept] == ["user", "assistant", "user", "assistant", "user"]
    assert last.stored["context"]["dropped"] == 6
    for refused in ({"truncation": "disabled"}, {"input": "word " * 3_000}):
        with pytest.raises(ContextLengthExceeded):
            admit(acme, window=2_400, max_output_tokens=200, **previous, **refused)
