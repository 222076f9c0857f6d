"""The page of a feedback shows the answer beside it, as long as it is kept, and to nobody else's eyes."""

from datetime import UTC, datetime

from inference.models import Feedback, Generation
from tenants.ids import uuid7
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.tenants.admin_desk import desk, plain_static_files, seat

__all__ = ["plain_static_files"]


def feedback(member: Member, *, kept: bool) -> str:
    with acting_for(member.tenant.id), tenant_scope() as tenant_id:
        call = Generation(
            tenant_id=tenant_id, kind="chat", state="completed", key_id=uuid7(), alias="m", model="m", terms={}, inbox="x",
            request={"model": "m", "messages": [{"role": "user", "content": "How <b>deep</b>?"}]} if kept else None,
            answer={"choices": [{"message": {"role": "assistant", "content": "Forty metres."}}]} if kept else None,
        )  # fmt: skip
        call.save(force_insert=True)
        row = Feedback.objects.create(
            tenant_id=tenant_id, generation_id=call.id, kind="chat", rater="x", alias="m", comment="Too short",
            rating=-1, answered_at=datetime.now(UTC),
        )  # fmt: skip
    return f"/admin/inference/feedback/{row.id}/change/"


def test_the_answer_stands_beside_what_was_said_of_it(acme):
    client = desk(seat(acme, "developer"))
    text = client.get(feedback(acme, kept=True)).content.decode()
    assert "How &lt;b&gt;deep&lt;/b&gt;?" in text and "Forty metres." in text and "Too short" in text
    assert "Try again in the playground" in text
    assert "Too short" in client.get("/admin/inference/feedback/").content.decode()


def test_an_answer_that_is_gone_is_said_to_be(acme):
    assert "It is no longer kept" in desk(seat(acme, "developer")).get(feedback(acme, kept=False)).content.decode()


def test_another_tenants_is_missing(acme, globex):
    answer = desk(seat(globex, "owner")).get(feedback(acme, kept=True))
    assert answer.status_code == 302 and "Forty" not in answer.content.decode()
