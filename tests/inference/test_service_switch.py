"""A model or a tenant is taken out at once: what calls get, what stands in, and what the log says."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connections
from django.test import Client
from django.urls import reverse

from billing.models import Price
from inference import catalogue
from inference.models import Deployment, Fallback, InferenceAttempt, Model
from tenants.audit import COMMAND_LINE
from tenants.authentication import forget_verified_keys
from tenants.ids import uuid7
from tenants.models import AuditEvent, User
from tenants.scope import acting_for, as_staff, tenant_scope
from tests.conftest import Member
from tests.tenants.admin_desk import desk, plain_static_files, seat
from tests.tenants.committed import _django_db_helper, committed, pytest_collection_modifyitems

__all__ = ["_django_db_helper", "committed", "plain_static_files", "pytest_collection_modifyitems"]

NAMES = ("switched", "stand-in")


@pytest.fixture
def switched(_django_db_helper: None) -> Iterator[Model]:
    """A model with one deployment and prices; `stand-in` beside it. Made before the tenants, so gone after them."""
    made = {}
    for name in NAMES:
        made[name] = Model.objects.using("owner").create(name=name, kind="chat", context_window=1000)
        Deployment.objects.using("owner").create(model=made[name], name=f"{name} here", provider="openai")
        for meter in ("input_tokens", "output_tokens"):
            Price.objects.using("owner").create(
                model=name, meter=meter, currency="USD", amount=1, valid_from=datetime(2020, 1, 1, tzinfo=UTC)
            )
    yield made["switched"]
    for rows in (Fallback.objects.filter(model__name__in=NAMES), Deployment.objects.filter(model__name__in=NAMES)):
        rows.using("owner").delete()
    Model.objects.using("owner").filter(name__in=NAMES).delete()
    Price.objects.using("owner").filter(model__in=NAMES).delete()
    connections["owner"].close()


@pytest.fixture
def acme(switched: Model, committed: Callable[[str], Member]) -> Member:
    member = committed("acme")
    with acting_for(member.tenant.id):
        catalogue.grant(alias="chat", model_name="switched", by=COMMAND_LINE)
    return member


@pytest.fixture
def staff(acme: Member) -> Iterator[Client]:
    yield desk(User.objects.create_superuser("operator", "operator@platform.example"))
    with connections["owner"].cursor() as cursor:
        cursor.execute("DELETE FROM django_admin_log")


def serving(member: Member) -> tuple[list[str], int]:
    """The chain of the tenant's alias as a call finds it, and how many deployments serve the model."""
    catalogue.forget_terms()
    with acting_for(member.tenant.id):
        found = catalogue.terms(alias="chat", kind="chat", currency="USD")
        return [row.name for row in found.chain], len(catalogue.all_deployments_of("switched"))


def logged(row: Any) -> list[str]:
    with as_staff():
        return [entry.change_message for entry in LogEntry.objects.filter(object_id=str(row.pk)).order_by("id")]


def flip(client: Client, name: str, ident: Any, **said: str) -> Any:
    return client.post(reverse(f"admin:{name}", args=[ident]), said, follow=True)


def test_a_model_that_was_taken_out_is_refused_before_anything_is_held(
    staff: Client, acme: Member, switched: Model
) -> None:
    assert serving(acme) == (["switched"], 1)
    page = flip(staff, "model_switch", switched.id, to="out", reason="leaks prompts")
    assert "switched is out of service." in page.content.decode() and "leaks prompts" in page.content.decode()
    catalogue.forget_terms()
    with acting_for(acme.tenant.id), pytest.raises(catalogue.ModelOutOfService) as refused:
        catalogue.terms(alias="chat", kind="chat", currency="USD")
    assert (refused.value.status, refused.value.code) == (503, "model_out_of_service")
    assert refused.value.headers["x-should-retry"] == "false"
    with acting_for(acme.tenant.id):
        assert catalogue.all_deployments_of("switched") == []

    flip(staff, "model_switch", switched.id, to="in")
    assert serving(acme) == (["switched"], 1)
    assert logged(switched) == ["Taken out of service: leaks prompts", "Put back into service."]


def test_its_fallback_answers_where_it_has_one(staff: Client, acme: Member, switched: Model) -> None:
    other = Model.objects.using("owner").get(name="stand-in")
    Fallback.objects.using("owner").create(model=switched, fallback=other, position=0)
    flip(staff, "model_switch", switched.id, to="out", reason="slow")
    assert serving(acme) == (["switched", "stand-in"], 0)
    flip(staff, "model_switch", other.id, to="out", reason="slow too")
    with pytest.raises(catalogue.ModelOutOfService):
        serving(acme)


def test_a_deployment_is_taken_out_alone(staff: Client, acme: Member, switched: Model) -> None:
    row = Deployment.objects.using("owner").get(model=switched)
    page = staff.get(reverse("admin:deployment_switch", args=[row.id])).content.decode()
    assert "the last deployment of switched" in page and "answer 503 model_out_of_service" in page
    flip(staff, "deployment_switch", row.id, to="out", reason="maintenance")
    assert serving(acme) == (["switched"], 0)
    assert logged(row) == ["Taken out of service: maintenance"]


def test_a_tenant_is_taken_out_and_reads_why(staff: Client, acme: Member) -> None:
    assert acme.client.get("/v1/models").status_code == 200
    flip(staff, "tenant_switch", acme.tenant.id, to="out", reason="unpaid since May")
    forget_verified_keys()  # as API_KEY_CACHE_SECONDS do
    refused = acme.client.get("/v1/models")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "tenant_suspended")
    assert "unpaid since May" in staff.get(reverse("admin:tenant_switch", args=[acme.tenant.id])).content.decode()
    flip(staff, "tenant_switch", acme.tenant.id, to="in")
    assert acme.client.get("/v1/models").status_code == 200
    with acting_for(acme.tenant.id), tenant_scope():
        told = list(AuditEvent.objects.filter(action="tenant.status_changed").order_by("id"))
    assert [(event.actor_type, event.changes) for event in told] == [
        ("staff", {"status": ["active", "suspended"], "reason": "unpaid since May"}),
        ("staff", {"status": ["suspended", "active"]}),
    ]


def test_nothing_is_switched_without_a_reason_or_twice(staff: Client, acme: Member, switched: Model) -> None:
    page = flip(staff, "model_switch", switched.id, to="out", reason="  ")
    assert "Say why" in page.content.decode()
    assert flip(staff, "model_switch", switched.id, to="sideways", reason="x").status_code == 200
    assert logged(switched) == []
    for _ in range(2):
        flip(staff, "tenant_switch", acme.tenant.id, to="out", reason="twice")
    with acting_for(acme.tenant.id), tenant_scope():
        assert AuditEvent.objects.filter(action="tenant.status_changed").count() == 1


def test_the_page_of_what_serves_says_how_each_deployment_does(staff: Client, acme: Member, switched: Model) -> None:
    row = Deployment.objects.using("owner").get(model=switched)
    now = datetime.now(UTC)
    with acting_for(acme.tenant.id), tenant_scope() as tenant_id:
        for number, (latency, category) in enumerate([(100, ""), (200, ""), (300, ""), (9, "upstream"), (5, "client")]):
            InferenceAttempt.objects.create(
                tenant_id=tenant_id, generation_id=tenant_id, number=number, deployment_id=row.id, deployment=row.name,
                model="switched", started_at=now, latency_ms=latency, category=category, code="x" if category else "",
            )  # fmt: skip
    page = staff.get(reverse("admin:deployments")).content.decode()
    assert "200 / 290 ms" in page and "20 %" in page and "switched here" in page


def test_no_tenant_switches_or_looks_at_the_platform(acme: Member, switched: Model, committed: Any) -> None:
    other, deployment = committed("globex"), Deployment.objects.using("owner").get(model=switched)
    client = desk(seat(acme, "owner"))
    for name, ident in (
        ("model_switch", switched.id), ("deployment_switch", deployment.id), ("tenant_switch", acme.tenant.id),
        ("tenant_switch", other.tenant.id), ("tenant_overview", acme.tenant.id), ("tenant_overview", other.tenant.id),
    ):  # fmt: skip
        for asked in (ident, uuid7()):
            url = reverse(f"admin:{name}", args=[asked])
            assert client.get(url).status_code == 403
            assert client.post(url, {"to": "out", "reason": "mine"}).status_code in (403, 405)
    assert serving(acme) == (["switched"], 1)
    assert other.client.get("/v1/models").status_code == 200
