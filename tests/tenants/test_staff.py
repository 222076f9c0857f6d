"""Platform staff at the admin: every tenant's rows, plans and limits, credentials that are never shown."""

import re
from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.db import connections
from django.test import Client
from django.urls import reverse

from billing.models import LimitOverride, Plan, Subscription
from inference.models import Deployment, Model
from tenants.desk.base import AtriumAdmin
from tenants.models import ApiKey, Tenant, User
from tests.tenants.admin_desk import PAGES, STAFF_PAGES, actions_of, desk, in_scope, plain_static_files

__all__ = ["plain_static_files"]


@pytest.fixture
def staff(committed) -> Iterator[Client]:
    """A committed superuser; what staff leave behind in the platform's tables goes at the end."""
    yield desk(User.objects.create_superuser("operator", "operator@platform.example"))
    with connections["owner"].cursor() as cursor:
        cursor.execute("DELETE FROM django_admin_log")
        cursor.execute("DELETE FROM inference_deployment WHERE name LIKE 'test %'")
        cursor.execute("DELETE FROM inference_model WHERE name LIKE 'test %'")


def test_staff_see_every_tenant_and_whose_a_row_is(staff, committed):
    committed("acme"), committed("globex")
    for page in [*PAGES, *STAFF_PAGES]:
        assert staff.get(f"/admin/{page}/").status_code == 200, page
    for page in ("tenants/tenant", "tenants/apikey", "inference/grant"):
        text = staff.get(f"/admin/{page}/").content.decode()
        assert "Acme" in text and "Globex" in text


def test_staff_make_a_tenant_its_owner_and_a_budget(staff, committed):
    form = {"slug": "initech", "name": "Initech", "currency": "USD", "content_retention_days": "30", "external_id": ""}
    assert staff.post("/admin/tenants/tenant/add/", form).status_code == 302
    made = re.search(r"/admin/tenants/tenant/([0-9a-f-]{36})/", staff.get("/admin/tenants/tenant/").content.decode())
    assert made is not None
    member = {"for_tenant": made[1], "email": "boss@initech.example", "role": "owner"}
    assert staff.post("/admin/tenants/invitation/add/", member).status_code == 302
    budget = {"for_tenant": made[1], "name": "cap", "limit": "9", "period": "month"}
    assert staff.post("/admin/billing/budget/add/", budget).status_code == 302
    assert "boss@initech.example" in staff.get("/admin/tenants/membership/").content.decode()
    assert "9.00 USD" in staff.get("/admin/billing/budget/").content.decode()
    trail = staff.get(f"/admin/tenants/tenant/{made[1]}/history/").content.decode()
    assert "tenant.created" in trail and "platform staff" in trail


def test_staff_suspend_and_resume_a_tenant(staff, committed):
    acme = committed("acme")
    for action, status in (("suspend", "suspended"), ("resume", "active")):
        staff.post("/admin/tenants/tenant/", {"action": action, "_selected_action": str(acme.tenant.id)})
        with in_scope(acme):
            assert Tenant.objects.get().status == status
    assert actions_of(acme)[-2:] == [("tenant.status_changed", "staff")] * 2


def test_staff_revoke_a_tenants_key_in_its_name(staff, committed):
    acme = committed("acme")
    with in_scope(acme):
        key = ApiKey.objects.get()
    staff.post("/admin/tenants/apikey/", {"action": "revoke", "_selected_action": str(key.id)})
    with in_scope(acme):
        assert ApiKey.objects.get().revoked_at is not None
    assert actions_of(acme)[-1] == ("api_key.revoked", "staff")


def test_staff_move_a_tenant_to_another_plan(staff, committed):
    acme = committed("acme")
    with in_scope(acme):
        subscription = Subscription.objects.get()
    plan = Plan.objects.exclude(id=subscription.plan_id).first() or subscription.plan
    url = f"/admin/billing/subscription/{subscription.id}/change/"
    assert staff.post(url, {"plan": str(plan.id)}).status_code == 302
    with in_scope(acme):
        assert Subscription.objects.get().plan_id == plan.id


def test_staff_override_a_tenants_limit_and_read_why_not(staff, committed):
    acme = committed("acme")
    form = {"for_tenant": str(acme.tenant.id), "limit": "documents", "value": "12", "reason": "trial"}
    form |= {"valid_from_0": "2030-01-01", "valid_from_1": "00:00:00"}
    url = "/admin/billing/limitoverride/add/"
    answer = staff.post(url, form)
    assert answer.status_code == 302, answer.context["adminform"].errors
    assert "begins at the same moment" in staff.post(url, form, follow=True).content.decode()
    with in_scope(acme):
        assert list(LimitOverride.objects.values_list("limit", "value", "reason")) == [("documents", 12, "trial")]
    assert actions_of(acme)[-1] == ("limit.overridden", "staff")
    assert "trial" in staff.get("/admin/billing/limitoverride/").content.decode()


def test_credentials_are_written_and_never_shown(staff):
    model = {
        "name": "test model",
        "kind": "chat",
        "context_window": "8000",
        "max_output_tokens": "100",
        "owned_by": "x",
        "strategy": "weighted",
    }
    assert staff.post("/admin/inference/model/add/", model).status_code == 302
    form = {
        "model": str(Model.objects.get(name="test model").id), "name": "test deployment", "provider": "openai",
        "base_url": "http://upstream.example/v1", "upstream_model": "m", "weight": "1", "enabled": "on",
    }  # fmt: skip
    assert staff.post("/admin/inference/deployment/add/", {**form, "new_api_key": "sk-very-secret"}).status_code == 302
    row = Deployment.objects.get(name="test deployment")
    assert row.api_key == "sk-very-secret"
    url = f"/admin/inference/deployment/{row.id}/change/"
    page = staff.get(url).content.decode()
    assert "sk-very-secret" not in page and "test deployment" in page and "(set)" in page
    assert staff.post(url, {**form, "weight": "2", "new_api_key": ""}).status_code == 302
    row.refresh_from_db()
    assert (row.weight, row.api_key) == (2, "sk-very-secret")
    assert "sk-very-secret" not in staff.get(f"/admin/inference/deployment/{row.id}/history/").content.decode()


def test_a_credential_whose_key_is_lost_can_be_entered_anew(staff, settings):
    keys = settings.FIELD_ENCRYPTION_KEYS
    settings.FIELD_ENCRYPTION_KEYS = ["bG9zdC1sb3N0LWxvc3QtbG9zdC1sb3N0LWxvc3QtMDE="]
    model = Model.objects.get(name="local-extractive")
    form = {"model": str(model.id), "name": "old", "provider": "openai", "base_url": "http://x.example", "weight": "2"}
    assert staff.post("/admin/inference/deployment/add/", form | {"new_api_key": "lost"}).status_code == 302
    settings.FIELD_ENCRYPTION_KEYS = keys
    url = f"/admin/inference/deployment/{Deployment.objects.defer('api_key').get(name='old').id}/change/"
    assert "no key in FIELD_ENCRYPTION_KEYS opens it" in staff.get(url).content.decode()
    assert "What is stored cannot be read" in staff.post(url, form).content.decode()
    assert staff.post(url, form | {"new_api_key": "entered anew"}).status_code == 302
    assert Deployment.objects.get(name="old").api_key == "entered anew"


def test_bedrock_needs_a_region_and_a_whole_key_and_what_is_stored_can_be_replaced_and_forgotten(staff):
    form = {
        "model": str(Model.objects.get(name="local-extractive").id), "name": "in Frankfurt", "provider": "bedrock",
        "upstream_model": "anthropic.claude", "weight": "1", "enabled": "on",
    }  # fmt: skip
    key = {"new_access_key_id": "AKIAIOSFODNN7EXAMPLE", "new_secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiEXKEY"}
    add = "/admin/inference/deployment/add/"
    assert "needs a region" in staff.post(add, form | key).content.decode()
    form["region"] = "eu-central-1"
    assert "two parts" in staff.post(add, form | {"new_access_key_id": "AKIAIOSFODNN7EXAMPLE"}).content.decode()
    assert staff.post(add, form | key).status_code == 302
    row = Deployment.objects.get(name="in Frankfurt")
    assert (row.access_key_id, row.secret_access_key) == tuple(key.values())
    url = f"/admin/inference/deployment/{row.id}/change/"
    page = staff.get(url).content.decode()
    assert "set, ends …MPLE" in page and "set, ends …XKEY" in page and "(not set)" in page
    assert not any(secret in page for secret in key.values())
    replaced = {"forget_credentials": "on", "new_api_key": "bedrock-api-key-0123456789"}
    assert staff.post(url, form | replaced).status_code == 302
    row.refresh_from_db()
    assert [getattr(row, name) for name in row.CREDENTIALS] == ["bedrock-api-key-0123456789", "", "", ""]


def test_every_form_for_a_new_row_opens_for_staff(staff):
    for model, page in admin.site._registry.items():
        if isinstance(page, AtriumAdmin) and "add" in page.offers:
            url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_add")
            assert staff.get(url).status_code == 200, url


def test_staff_make_a_colleague_and_take_them_out_of_service(staff):
    password = "correct horse battery"
    said = {"username": "ann", "email": "ann@platform.example", "usable_password": "true"}
    staff.post("/admin/tenants/user/add/", {**said, "password1": password, "password2": password})
    ann = User.objects.get(username="ann")
    assert ann.check_password(password) and ann.email == "ann@platform.example" and ann.is_active

    page = f"/admin/tenants/user/{ann.pk}/change/"
    assert staff.get(page).status_code == 200
    staff.post(page, {"username": "ann", "email": ann.email})
    ann.refresh_from_db()
    assert not ann.is_active and ann.check_password(password)
