"""globex's owner at the admin tries acme's objects through every door; each answers as for an object that is not there."""

import re
from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.urls import reverse

from billing.models import Budget, BudgetAlert, CreditNote, Report, ReportSchedule, Statement, UsageRecord
from inference.models import (
    Feedback,
    Generation,
    Grant,
    InferenceAttempt,
    Model,
    Prompt,
    PromptVersion,
    SafetyPolicy,
    Screening,
    Variant,
)  # fmt: skip
from knowledge.models import File, Space, VectorStore, VectorStoreFile
from tenants.audit import COMMAND_LINE, record
from tenants.ids import uuid7
from tenants.managers import TenantModel
from tenants.models import (
    ApiKey,
    AuditEvent,
    Invitation,
    Membership,
    SigningSecret,
    Tenant,
    User,
    WebhookDelivery,
    WebhookEndpoint,
)  # fmt: skip
from tenants.scope import acting_for, tenant_scope
from tenants.webhooks import emit
from tests.conftest import Member
from tests.tenants.admin_desk import desk, plain_static_files, seat

__all__ = ["plain_static_files"]

#: Stands in every name that acme's objects have: no answer to globex may hold it.
MARK = "acmemark"
PAGES = [
    VectorStore, File, VectorStoreFile, ApiKey, SigningSecret, WebhookEndpoint, WebhookDelivery, Membership, Invitation,
    AuditEvent, Tenant, Budget, BudgetAlert, UsageRecord, Statement, CreditNote, Report, ReportSchedule,
    Generation, Grant, InferenceAttempt, Prompt, PromptVersion, Feedback, SafetyPolicy, Screening, Variant,
]  # fmt: skip
ACTIONS = {
    ApiKey: "revoke", SigningSecret: "revoke", Invitation: "revoke", Tenant: "suspend", WebhookEndpoint: "disable",
    WebhookDelivery: "resend",
}  # fmt: skip


def test_every_tenant_page_is_walked():
    registered = {model for model in admin.site._registry if issubclass(model, TenantModel)}
    staff_only = {model for model in registered if not admin.site._registry[model].area}
    assert registered - staff_only == set(PAGES) - {Tenant}


@pytest.fixture
def theirs(acme: Member) -> dict[type, Any]:
    """One of each of acme's objects, by model."""
    seat(acme, "owner", email=f"{MARK}@acme.example")
    with acting_for(acme.tenant.id), tenant_scope() as tenant_id:
        Tenant.objects.update(name=MARK)
        for grant in Grant.objects.all():
            Grant.objects.filter(id=grant.id).update(alias=f"{MARK} {grant.alias}")
        ApiKey.objects.update(name=MARK)
        own = {"tenant_id": tenant_id}
        space = Space.objects.create(**own, name=MARK, dimensions=3)
        store = VectorStore.objects.create(**own, name=MARK, embedding_model=MARK, space=space)
        file = File.objects.create(
            **own,
            filename=f"{MARK}.txt",
            bytes=1,
            mime_type="text/plain",
            sha256="",
            storage_key="",
            purpose="assistants",
        )
        document = VectorStoreFile.objects.create(**own, store=store, file=file, chunking={})
        budget = Budget.objects.create(**own, name=MARK, limit=5, currency="USD")
        alert = BudgetAlert.objects.create(
            **own, budget=budget, period_start="2026-01-01", kind="share", share=80, limit=5, spent=4
        )
        usage = UsageRecord.objects.create(
            **own, reservation_id=uuid7(), request_id=uuid7(), attempt=1, operation="chat", model=MARK,
            meter="input_tokens", quantity=1, unit_price=1, per=1, cost=1, currency="USD", period_start="2026-01-01",
        )  # fmt: skip
        month = {"period_start": "2026-01-01", "currency": "USD"}
        statement = Statement.objects.create(
            **own, **month, usage=1, corrections=0, credits=0, total=1, records=1, closed_by_type=MARK, closed_by_id=MARK,
            closed_at=datetime.now(UTC),
        )  # fmt: skip
        note = CreditNote.objects.create(
            **own, **month, statement_id=statement.id, records=[], amount=1, reason=MARK, created_by_type=MARK,
            created_by_id=MARK,
        )  # fmt: skip
        report = Report.objects.create(
            **own, kind="costs", format="csv", start=datetime(2026, 1, 1, tzinfo=UTC), end=datetime(2026, 2, 1, tzinfo=UTC),
            options={"models": [MARK]}, asked_by_type="x", asked_by_id=MARK,
        )  # fmt: skip
        schedule = ReportSchedule.objects.create(
            **own, name=MARK, every="day", kind="costs", format="csv", options={"models": [MARK]}, asked_by_type="x",
            asked_by_id=MARK, next_start="2026-01-01", due_at=datetime(2099, 1, 1, tzinfo=UTC),
        )  # fmt: skip
        call = Generation.objects.create(
            **own, kind="chat", key_id=uuid7(), alias=MARK, model=MARK, terms={}, inbox="x"
        )
        secret = SigningSecret.objects.create(**own, name=MARK, secret="not a secret")
        hook = WebhookEndpoint.objects.create(
            **own, name=MARK, url=f"https://{MARK}.example", event_types=["*"], secret="not a secret"
        )
        emit(type="report.ready", data={}, object_id=MARK)
        prompt = Prompt.objects.create(**own, name=MARK, description=MARK)
        version = PromptVersion.objects.create(
            **own,
            prompt=prompt,
            number=1,
            definition={"messages": [MARK]},
            note=MARK,
            created_by_type="x",
            created_by_id=MARK,
        )
        feedback = Feedback.objects.create(
            **own, generation_id=call.id, kind="chat", rater="x", end_user=MARK, alias=MARK, comment=MARK, rating=1,
            answered_at=datetime.now(UTC),
        )  # fmt: skip
        policy = SafetyPolicy.objects.create(**own, alias=MARK, version=1, settings={"deny_list": [MARK]})
        screening = Screening.objects.create(
            **own, generation_id=call.id, stage="input", screen=MARK, action="flag", count=1, categories=[MARK]
        )
        variant = Variant.objects.create(**own, name=MARK, base=Model.objects.get(name="local-extractive"))
        attempt = InferenceAttempt.objects.create(
            **own,
            generation_id=call.id,
            number=1,
            deployment=MARK,
            model=MARK,
            started_at=datetime.now(UTC),
            latency_ms=1,
        )
        invitation = Invitation.objects.create(
            **own, email=f"{MARK}@other.example", role="viewer", sent_at=datetime.now(UTC), expires_at=datetime.now(UTC)
        )
        event = record(by=COMMAND_LINE, action=MARK, target=store)
        rows = [
            store,
            file,
            document,
            secret,
            hook,
            WebhookDelivery.objects.get(),
            budget,
            alert,
            usage,
            statement,
            note,
            report,
            schedule,
            call,
            event,
            prompt,
            version,
            feedback,
            policy,
            screening,
            variant,
            attempt,
            invitation,
            ApiKey.objects.get(),
            Membership.objects.get(),
        ]
        return {type(row): row for row in [*rows, Tenant.objects.get(), Grant.objects.first()]}


@pytest.fixture
def stranger(globex: Member) -> Client:
    """globex's owner, who holds every permission a tenant can give."""
    return desk(seat(globex, "owner"))


def url_of(model: type, view: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{view}", args=args)


def answer(client: Client, method: str, url: str, data: Any = None) -> tuple[int, str, list[str]]:
    """What can be told apart: the status, where it leads, and the messages, all without the id that was asked for."""
    client.cookies.pop("messages", None)  # what earlier answers left to say
    response = getattr(client, method)(url, data or {})
    messages = [str(message) for message in response.wsgi_request._messages]
    text = response.content.decode()
    assert MARK not in text and not any(MARK in message for message in messages)
    blank = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
    return response.status_code, blank.sub("", response.get("Location", "")), [blank.sub("", m) for m in messages]


@pytest.mark.parametrize("method", ["get", "post"])
def test_an_objects_pages_answer_like_missing_ones(theirs, stranger, method):
    for model, view in product(PAGES, ("change", "delete", "history")):
        foreign = answer(stranger, method, url_of(model, view, theirs[model].pk), {"post": "yes"})
        missing = answer(stranger, method, url_of(model, view, uuid7()), {"post": "yes"})
        assert foreign == missing, (model, view)
        assert foreign[0] in (302, 403), (model, view)


@pytest.mark.parametrize("model", PAGES)
def test_lists_searches_and_filters_show_nothing_of_them(theirs, stranger, model):
    row = theirs[model]
    # Django answers a query that it cannot use by a redirect to `?e=1`; what counts is that no answer has the mark.
    for query in ({}, {"q": "acme"}, {"q": str(row.pk)}, {"id": str(row.pk)}, {"tenant": str(row.pk)}, {"all": ""}):
        answer(stranger, "get", url_of(model, "changelist"), query)
    for name in (
        "tenant__name__startswith",
        "tenant__memberships__user__email",
        "user__email__startswith",
        "store__name",
    ):
        answer(stranger, "get", url_of(model, "changelist"), {name: "acme"})


@pytest.mark.parametrize("model", PAGES)
def test_bulk_actions_pass_them_by(theirs, stranger, model):
    row = theirs[model]
    for action in ("delete_selected", ACTIONS.get(model, "revoke")):
        form = {"action": action, "_selected_action": str(row.pk), "post": "yes"}
        foreign = answer(stranger, "post", url_of(model, "changelist"), form)
        assert foreign == answer(
            stranger, "post", url_of(model, "changelist"), {**form, "_selected_action": str(uuid7())}
        )
        answer(stranger, "post", url_of(model, "changelist"), {**form, "select_across": "1", "index": "0"})
    with acting_for(row.pk if model is Tenant else row.tenant_id), tenant_scope():
        kept = model.objects.get(pk=row.pk)
    assert getattr(kept, "revoked_at", None) is None
    for name in ("status", "disabled_at", "state"):
        assert getattr(kept, name, None) == getattr(row, name, None)


def test_autocomplete_gives_nothing_away(theirs, stranger):
    for model, name in ((VectorStoreFile, "store"), (VectorStoreFile, "file"), (Grant, "model"), (Membership, "user")):
        query = {
            "app_label": model._meta.app_label,
            "model_name": model._meta.model_name,
            "field_name": name,
            "term": "",
        }
        assert answer(stranger, "get", reverse("admin:autocomplete"), query)[0] in (200, 403), (model, name)


def test_forms_neither_offer_nor_take_their_objects(theirs, stranger, globex):
    for model in (VectorStore, File, ApiKey, Invitation, Budget):
        answer(stranger, "get", url_of(model, "add"))
    form = {"name": "x", "limit": "1", "key_id": str(theirs[ApiKey].pk)}
    assert answer(stranger, "post", url_of(Budget, "add"), form)[0] == 200
    form = {"for_tenant": str(theirs[Tenant].pk), "tenant": str(theirs[Tenant].pk), "tenant_id": str(theirs[Tenant].pk)}
    stranger.post(url_of(ApiKey, "add"), {**form, "name": "mine", "scopes": ["inference"]})
    with acting_for(theirs[Tenant].pk), tenant_scope():
        assert ApiKey.objects.count() == 1
    with acting_for(globex.tenant.id), tenant_scope():
        assert ApiKey.objects.filter(name="mine").count() == 1


def test_nobody_chooses_a_tenant_they_are_not_a_member_of(theirs, stranger):
    assert answer(stranger, "post", reverse("admin:choose_tenant"), {"tenant": str(theirs[Tenant].pk)})[0] == 404
    session = stranger.session
    session["admin_tenant"] = str(theirs[Tenant].pk)
    session.save()
    assert answer(stranger, "get", url_of(Tenant, "changelist"))[0] == 200


def test_people_of_others_have_no_page(theirs, stranger):
    person = User.objects.get(email__startswith=MARK)
    for view in ("change", "history", "delete"):
        assert answer(stranger, "get", url_of(User, view, person.pk)) == answer(
            stranger, "get", url_of(User, view, uuid7())
        )
        assert answer(stranger, "get", url_of(User, view, person.pk))[0] in (302, 403)
    assert answer(stranger, "get", reverse("admin:auth_user_password_change", args=[person.pk]))[0] in (302, 403, 404)


def test_the_way_to_a_rows_own_site_leads_nowhere(theirs, stranger):
    for model in (*PAGES, User):
        row = User.objects.get(email__startswith=MARK) if model is User else theirs[model]
        kind = ContentType.objects.get_for_model(model).pk
        found = [stranger.get(f"/admin/r/{kind}/{key}/").status_code for key in (row.pk, uuid7())]
        assert found == [404, 404], model


def test_django_s_own_log_holds_nothing_of_a_tenants_objects(theirs, stranger):
    stranger.post(url_of(ApiKey, "add"), {"name": "mine", "scopes": ["inference"]})
    assert not LogEntry.objects.exists()
