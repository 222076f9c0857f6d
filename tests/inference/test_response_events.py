"""Webhooks hear how background responses end, in the transaction of the end; of other calls they hear nothing."""

from typing import Any
from uuid import UUID

import pytest

from inference import generations, lost_calls
from inference.calls import Outcome, Settlement
from inference.catalogue import forget_terms
from inference.models import Generation
from tenants import work
from tenants.ids import public_id
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.inference.test_generations import LINES, Desk, claim, settle
from tests.webhooks import listen, told


@pytest.fixture
def desk(acme: Member) -> Desk:
    forget_terms()
    listen(acme)
    return Desk(acme)


def response(desk: Desk, *, inbox: str = "", background: bool = True) -> UUID:
    """A response that waits for its worker."""
    ident = desk.admit()
    with acting_for(desk.tenant_id), tenant_scope():
        request = {"model": "local-extractive", "input": [], "background": background}
        Generation.objects.filter(id=ident).update(kind="response", inbox=inbox, request=request)
    return ident


def end(state: str, answer: dict[str, Any] | None = None) -> None:
    call = claim()
    outcome = Outcome(state, lines=list(LINES), answer=answer)
    ticket = work.Claim(call.tenant_id, call.id, call.attempt)
    generations.settle(Settlement(ticket, call.key_id, outcome, call.admitted.retention_days))


def test_how_background_responses_end_is_told_once(desk: Desk, acme: Member) -> None:
    expected = []
    for inbox, state, status, event in (
        ("", "completed", "completed", "response.completed"),
        ("events:x:y", "completed", "incomplete", "response.incomplete"),
        ("", "failed", None, "response.failed"),
        ("", "cancelled", None, "response.cancelled"),
        ("", "unknown", None, "response.failed"),
    ):
        ident = response(desk, inbox=inbox)
        end(state, {"status": status} if status else None)
        expected.append((event, {"id": public_id("resp_", ident)}))
    withdrawn = response(desk)
    assert generations.withdraw(tenant_id=desk.tenant_id, generation_id=withdrawn)
    expected.append(("response.cancelled", {"id": public_id("resp_", withdrawn)}))
    assert told(acme) == expected


def test_nothing_is_told_of_calls_whose_clients_wait(desk: Desk, acme: Member) -> None:
    desk.admit()
    settle(claim())
    response(desk, inbox="inbox:1", background=False)
    end("completed", {"status": "completed"})
    desk.admit()
    call = claim()
    desk.expire(call.id)
    lost_calls.settle_lost()
    assert settle(call) is None
    assert told(acme) == []
