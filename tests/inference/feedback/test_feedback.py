"""Feedback: one view a rater, changed by giving again; kept as long as the tenant keeps; made into datasets."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from inference import generations
from inference.models import Feedback, Generation
from tenants.api_keys import issue
from tenants.audit import COMMAND_LINE
from tenants.ids import public_id, uuid7
from tenants.models import AuditEvent, Tenant
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member

QUESTION = [{"role": "user", "content": "What is 2 + 2?"}]
NOW = datetime.now(UTC)
BETTER = {"role": "assistant", "content": "Four."}


def answered(member: Member, *, text: str = "Five.", days: int = 30, **more: Any) -> str:
    """The id of a completed chat completion."""
    own = {} if more.get("kind") == "response" else {"messages": QUESTION}
    request = {"model": "m", **own, **more.pop("request", {})}
    message = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    answer = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    values = {"kind": "chat", "state": "completed", "request": request, "answer": answer, **more}
    with acting_for(member.tenant.id), tenant_scope() as tenant_id:
        row = Generation.objects.create(
            tenant_id=tenant_id, key_id=uuid7(), alias="m", model="m", terms={}, inbox="x", finished_at=NOW,
            contents_until=NOW + timedelta(days=days), **values,
        )  # fmt: skip
    return public_id("resp_" if row.kind == "response" else "chatcmpl-", row.id)


def give(member: Member, answer: str, **said: Any) -> tuple[int, Any]:
    response = member.client.post("/v1/feedback", {"response_id": answer, **said}, format="json")
    return response.status_code, response.json()


def listed(member: Member, **query: Any) -> list[Any]:
    return member.client.get("/v1/feedback", query).json()["data"]


def exported(member: Member, form: str, **period: Any) -> list[Any]:
    response = member.client.get("/v1/feedback/export", {"format": form, **period})
    assert response.status_code == 200, response.getvalue()
    return [json.loads(line) for line in response.getvalue().splitlines()]


def test_a_rater_has_one_view_which_giving_again_changes(acme: Member) -> None:
    answer = answered(acme)
    status, first = give(acme, answer, rating=-1, tags=["maths", "maths"], user="ann")
    assert (status, first["rating"], first["tags"], first["user"]) == (201, -1, ["maths"], "ann")
    status, second = give(acme, answer, correction="Four.", comment="wrong", user="ann")
    assert (status, second["id"]) == (200, first["id"])
    assert (second["rating"], second["correction"], second["comment"], second["tags"]) == (
        -1,
        BETTER,
        "wrong",
        ["maths"],
    )
    assert give(acme, answer, rating=None, user="ann")[1]["rating"] is None
    # Another end user, and the key itself, are other raters.
    assert give(acme, answer, rating=1, user="bob")[0] == give(acme, answer, rating=0)[0] == 201
    assert [row["rating"] for row in listed(acme)] == [0, 1, None]


def test_a_response_takes_feedback_too(acme: Member) -> None:
    answer = answered(acme, kind="response", answer={"output": []})
    assert give(acme, answer, rating=1)[1]["response_id"] == answer
    assert [row["response_id"] for row in listed(acme, response_id=answer)] == [answer]


@pytest.mark.parametrize(
    ("said", "param"),
    [
        ({}, "rating"),
        ({"rating": 2}, "rating"),
        ({"rating": "up"}, "rating"),
        ({"correction": ""}, "correction"),
        ({"correction": {"role": "user", "content": "x"}}, "correction.role"),
        ({"correction": 5}, "correction"),
        ({"tags": ["x" * 65]}, "tags.0"),
        ({"tags": [str(n) for n in range(21)]}, "tags"),
        ({"rating": 1, "choice": 1}, "choice"),
    ],
)
def test_what_is_no_feedback_is_refused_and_leaves_nothing(acme: Member, said: dict[str, Any], param: str) -> None:
    status, body = give(acme, answered(acme), **said)
    assert (status, body["error"]["param"]) == (400, param), body
    assert listed(acme) == []


def test_an_answer_must_be_there_and_ended(acme: Member, globex: Member) -> None:
    answer = answered(acme)
    for ident in (answer, "chatcmpl-" + "0" * 32, answer.replace("chatcmpl-", "resp_"), "file-1"):
        assert give(globex, ident, rating=1)[0] == 404
    assert give(acme, answered(acme, state="running", answer=None), rating=1)[0] == 409


def test_lists_are_filtered_and_paged(acme: Member) -> None:
    for number in range(3):
        answer = answered(acme)
        give(acme, answer, rating=number - 1, tags=[f"t{number}"], user=f"u{number}")
    give(acme, answer, correction="Four.", user="u9")
    assert [row["user"] for row in listed(acme, rating=1)] == ["u2"]
    assert [row["user"] for row in listed(acme, tag="t1")] == ["u1"]
    assert [row["user"] for row in listed(acme, corrected="true")] == ["u9"]
    assert [row["user"] for row in listed(acme, user="u0", model="m")] == ["u0"]
    assert listed(acme, model="other") == listed(acme, end_time=1) == listed(acme, prompt_id="pmpt_" + "0" * 32) == []
    page = acme.client.get("/v1/feedback", {"limit": 3, "order": "asc"}).json()
    assert page["has_more"] and [row["user"] for row in page["data"]] == ["u0", "u1", "u2"]
    assert [row["user"] for row in listed(acme, after=page["last_id"], order="asc")] == ["u9"]


def test_datasets_have_the_shapes_that_fine_tuning_takes(acme: Member) -> None:
    tool = {"type": "function", "function": {"name": "add"}}
    give(acme, answered(acme, text="4", request={"tools": [tool, {"type": "file_search"}]}), rating=1)
    give(acme, answered(acme), rating=-1, correction="Four.")
    give(acme, answered(acme), rating=-1)
    assert exported(acme, "chat") == [
        {"messages": [*QUESTION, {"role": "assistant", "content": "4"}], "tools": [tool], "parallel_tool_calls": True},
        {"messages": [*QUESTION, BETTER]},
    ]
    assert exported(acme, "preference") == [
        {
            "input": {"messages": QUESTION, "tools": [], "parallel_tool_calls": True},
            "preferred_output": [BETTER],
            "non_preferred_output": [{"role": "assistant", "content": "Five."}],
        }
    ]
    items = [line["item"] for line in exported(acme, "evaluation")]
    assert [(item["rating"], item["reference"]) for item in items] == [(1, None), (-1, BETTER), (-1, None)]
    assert exported(acme, "chat", end_time=int(NOW.timestamp()) - 5) == []
    assert acme.client.get("/v1/feedback/export", {"format": "xml"}).status_code == 400


def test_a_response_makes_an_example_of_the_same_shape(acme: Member) -> None:
    content = [{"type": "input_text", "text": QUESTION[0]["content"]}]
    request = {"input": [{"type": "message", "role": "user", "content": content}], "instructions": "Count."}
    text = {"type": "output_text", "text": "Five.", "annotations": []}
    call = {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{}"}
    output = [{"type": "reasoning"}, {"type": "message", "role": "assistant", "content": [text]}, call]
    give(acme, answered(acme, kind="response", request=request, answer={"output": output}), correction="Four.")
    [line] = exported(acme, "preference")
    assert line["input"]["messages"] == [{"role": "system", "content": "Count."}, *QUESTION]
    function = {"name": "add", "arguments": "{}"}
    called = {"tool_calls": [{"id": "c1", "type": "function", "function": function}]}
    assert line["non_preferred_output"] == [{"role": "assistant", "content": "Five.", **called}]


def test_a_long_dataset_comes_in_batches_and_only_from_its_tenant(
    acme: Member, globex: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.feedback.datasets.BATCH", 2)
    for number in range(5):
        give(acme, answered(acme, text=str(number)), rating=1)
    give(globex, answered(globex, text="globex's"), rating=1)
    assert [line["messages"][-1]["content"] for line in exported(acme, "chat")] == ["0", "1", "2", "3", "4"]


def test_the_exchange_goes_when_the_tenant_keeps_it_no_longer(acme: Member) -> None:
    give(acme, answered(acme, days=-1), rating=-1, correction="Four.")
    generations.erase_expired_contents()
    assert exported(acme, "chat") == []
    # What was said of it stays.
    assert [row["correction"] for row in listed(acme)] == [BETTER]


def test_a_tenant_may_keep_exchanges_with_feedback_longer(acme: Member) -> None:
    with acting_for(acme.tenant.id), tenant_scope():
        Tenant.objects.update(feedback_retention_days=365)
    rated, unrated = answered(acme, days=-1), answered(acme, days=-1)
    give(acme, rated, rating=1)
    generations.erase_expired_contents()
    with acting_for(acme.tenant.id), tenant_scope():
        kept = {public_id("chatcmpl-", row.id): row for row in Generation.objects.all()}
    assert kept[rated].request is not None and kept[unrated].request is None
    assert abs(kept[rated].contents_until - (NOW + timedelta(days=365))) < timedelta(seconds=1)


def test_nothing_is_kept_for_a_tenant_that_keeps_nothing(acme: Member) -> None:
    with acting_for(acme.tenant.id), tenant_scope():
        Tenant.objects.update(feedback_retention_days=365)
    assert give(acme, _contentless(acme), rating=1)[0] == 201
    assert exported(acme, "evaluation") == []


def _contentless(member: Member) -> str:
    """A completion of a tenant whose retention is 0 days."""
    answer = answered(member)
    with acting_for(member.tenant.id), tenant_scope():
        Generation.objects.update(request=None, answer=None)
    return answer


def test_a_caller_limited_to_groups_sees_its_own_and_exports_nothing(acme: Member) -> None:
    answer = answered(acme)
    give(acme, answer, rating=-1, comment="the board's plans")
    with acting_for(acme.tenant.id):
        _, key = issue(
            name="reader", scopes=["feedback.read", "feedback.write"], groups=["board"], by=COMMAND_LINE, now=NOW
        )
    reader = Member(acme.tenant, key)
    [theirs] = listed(acme)
    own = give(reader, answer, rating=1)[1]
    assert [row["id"] for row in listed(reader)] == [own["id"]] and len(listed(acme)) == 2
    assert reader.client.get(f"/v1/feedback/{theirs['id']}").status_code == 404
    assert reader.client.delete(f"/v1/feedback/{theirs['id']}").status_code == 404
    assert reader.client.get("/v1/feedback/export").status_code == 403
    assert reader.client.delete("/v1/feedback?user=ann").status_code == 403
    assert reader.client.delete(f"/v1/feedback/{own['id']}").status_code == 200


def test_feedback_is_deleted_alone_and_with_its_end_user(acme: Member, globex: Member) -> None:
    for member in (acme, globex):
        give(member, answered(member), rating=1, user="ann")
        give(member, answered(member), rating=1, user="bob")
    assert acme.client.delete("/v1/feedback?user=ann").json() == {"object": "feedback.erased", "deleted": 1}
    [left] = listed(acme)
    assert left["user"] == "bob" and len(listed(globex)) == 2
    assert acme.client.delete(f"/v1/feedback/{left['id']}").json()["deleted"] is True
    assert acme.client.get(f"/v1/feedback/{left['id']}").status_code == 404
    assert acme.client.delete("/v1/feedback").status_code == 400
    with acting_for(acme.tenant.id), tenant_scope():
        events = AuditEvent.objects.filter(action__startswith="feedback.")
        assert not any("ann" in json.dumps(event.changes) for event in events)
        assert [event.action for event in events.order_by("id")] == ["feedback.erased", "feedback.deleted"]
        assert not Feedback.objects.exists()
