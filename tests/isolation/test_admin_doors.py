"""globex's owner at the admin tries acme's objects through every door; each answers as for an object that is not there."""

import re
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
    Prompt,
    PromptVersion,
    SafetyPolicy,
    Screening,
    Variant,
)  # fmt: skip
from knowledge.models import File, VectorStore, VectorStoreFile
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
from tests.conftest import Member
from tests.isolation.rows import MARK, one_row_of_each
from tests.tenants.admin_desk import desk, plain_static_files, seat

__all__ = ["plain_static_files"]

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
    return one_row_of_each(acme)


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
