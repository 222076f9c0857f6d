"""Responses by id: retrieved at every moment of their life, their input listed, cancelled, deleted."""

from openai.types.responses import Response, ResponseItemList

from inference.models import Generation
from tenants.models import AuditEvent
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member

from .conftest import Admit


def test_it_is_queued_then_what_it_became(acme: Member, admit: Admit) -> None:
    row = admit(acme, background=True, metadata={"a": "b"})
    queued = acme.client.get(f"/v1/responses/{row.public}").json()
    assert Response.model_validate(queued).status == "queued" and queued["background"] and queued["output"] == []
    row.end("Done.")
    done = Response.model_validate(acme.client.get(f"/v1/responses/{row.public}").json())
    assert (done.status, done.output_text, done.metadata) == ("completed", "Done.", {"a": "b"})


def test_a_lost_worker_is_a_failed_response_with_our_code_beside_the_sdks(acme: Member, admit: Admit) -> None:
    row = admit(acme, background=True)
    error = {"error": {"message": "lost", "type": "server_error", "param": None, "code": "worker_lost"}}
    with acting_for(acme.tenant.id), tenant_scope():
        Generation.objects.filter(id=row.id).update(state="failed", error=error)
    failed = acme.client.get(f"/v1/responses/{row.public}").json()
    assert Response.model_validate(failed).status == "failed"
    assert (failed["error"]["code"], failed["error"]["reason"]) == ("server_error", "worker_lost")


def test_what_is_not_to_be_stored_is_missing_even_while_it_is_made(acme: Member, admit: Admit) -> None:
    row = admit(acme, store=False)
    for url in (f"/v1/responses/{row.public}", f"/v1/responses/{row.public}/input_items"):
        assert acme.client.get(url).status_code == 404


def test_its_input_is_listed_in_pages_with_ids_that_stay(acme: Member, admit: Admit) -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    items = [{"role": "user", "content": "one"}, call, {"type": "function_call_output", "call_id": "c", "output": "2"},
             {"type": "reasoning", "summary": []}, {"role": "assistant", "content": "four"}]  # fmt: skip
    row = admit(acme, input=items)
    url = f"/v1/responses/{row.public}/input_items"
    listed = acme.client.get(url, {"order": "asc"}).json()
    ResponseItemList.model_validate(listed)
    assert [item["type"] for item in listed["data"]] == [
        "message", "function_call", "function_call_output", "reasoning", "message"
    ]  # fmt: skip
    ids = [item["id"] for item in listed["data"]]
    assert len(set(ids)) == 5 and ids[1].startswith("fc_") and ids[2].startswith("fco_") and ids[3].startswith("rs_")
    first = acme.client.get(url, {"limit": 2}).json()
    assert [item["id"] for item in first["data"]] == [ids[4], ids[3]] and first["has_more"]
    second = acme.client.get(url, {"limit": 3, "after": first["last_id"]}).json()
    assert [item["id"] for item in second["data"]] == [ids[2], ids[1], ids[0]] and not second["has_more"]
    for bad in ({"limit": 0}, {"limit": "x"}, {"order": "up"}, {"after": "msg_nothing"}):
        assert acme.client.get(url, bad).status_code == 400


def test_deleting_erases_the_contents_and_leaves_an_audit_row(acme: Member, admit: Admit) -> None:
    row = admit(acme)
    under_way = acme.client.delete(f"/v1/responses/{row.public}")
    assert (under_way.status_code, under_way.json()["error"]["code"]) == (409, "response_in_progress")
    row.end("a secret")
    assert acme.client.delete(f"/v1/responses/{row.public}").json() == {
        "id": row.public, "object": "response", "deleted": True
    }  # fmt: skip
    assert acme.client.get(f"/v1/responses/{row.public}").status_code == 404
    assert acme.client.delete(f"/v1/responses/{row.public}").status_code == 404
    with acting_for(acme.tenant.id), tenant_scope():
        kept = Generation.objects.get(id=row.id)
        assert (kept.request, kept.answer, kept.state) == (None, None, "completed")
        assert AuditEvent.objects.filter(action="response.deleted", object_id=str(row.id)).count() == 1


def test_only_what_is_made_in_the_background_can_be_cancelled(acme: Member, admit: Admit) -> None:
    row = admit(acme)
    refused = acme.client.post(f"/v1/responses/{row.public}/cancel")
    assert refused.status_code == 400 and "synchronous" in refused.json()["error"]["message"]
    ended = admit(acme, background=True)
    ended.end("Done.")
    assert acme.client.post(f"/v1/responses/{ended.public}/cancel").json()["status"] == "completed"


def test_input_tokens_are_counted_with_what_came_before(acme: Member, admit: Admit) -> None:
    first = admit(acme, input="word " * 100)
    first.end("word " * 50)
    body = {"model": "local-extractive", "input": "word " * 10}

    def counted(**more: str) -> int:
        answer = acme.client.post("/v1/responses/input_tokens", {**body, **more}, format="json").json()
        assert answer["object"] == "response.input_tokens"
        return answer["input_tokens"]

    alone, chained = counted(), counted(previous_response_id=first.public)
    assert 10 <= alone < 40 and 150 <= chained - alone < 200
