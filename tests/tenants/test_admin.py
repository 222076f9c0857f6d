"""The admin's lists over a tenant's rows: what is shown, changed, on record, and undone where it fails."""

import re
from datetime import UTC, datetime
from decimal import Decimal

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from billing.models import Budget, UsageRecord
from inference.models import Generation
from knowledge.models import File, VectorStore, VectorStoreFile
from tenants.audit import COMMAND_LINE
from tenants.ids import uuid7
from tenants.members import add_member
from tenants.models import ApiKey, Membership, Role, Tenant
from tests.tenants.admin_desk import PAGES, actions_of, desk, in_scope, plain_static_files, seat

__all__ = ["plain_static_files"]


# --- keys ---


def test_a_key_is_shown_once_and_works(acme):
    client = desk(seat(acme, "developer"))
    answer = client.post("/admin/tenants/apikey/add/", {"name": "app", "scopes": ["inference", "files.read"]})
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    [key] = set(re.findall(r"sk-[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{48}", answer.content.decode()))
    assert Client().get("/v1/models", headers={"Authorization": f"Bearer {key}"}).status_code == 200
    with in_scope(acme):
        row = ApiKey.objects.get(name="app")
    assert row.scopes == ["files.read", "inference"]
    secret = key.split("-")[3]
    for url in ("", f"{row.id}/change/", f"{row.id}/history/"):
        page = client.get(f"/admin/tenants/apikey/{url}").content.decode()
        assert secret not in page and row.secret_hash not in page
    assert actions_of(acme)[-1] == ("api_key.issued", "user")


def test_a_key_is_revoked_by_the_action_and_never_renamed(acme):
    client = desk(seat(acme, "developer"))
    with in_scope(acme):
        row = ApiKey.objects.get()
    assert client.post(f"/admin/tenants/apikey/{row.id}/change/", {"name": "renamed"}).status_code == 302
    with in_scope(acme):
        assert ApiKey.objects.get().name == row.name
    assert client.post(f"/admin/tenants/apikey/{row.id}/delete/", {"post": "yes"}).status_code == 403
    client.post("/admin/tenants/apikey/", {"action": "revoke", "_selected_action": str(row.id)})
    with in_scope(acme):
        assert ApiKey.objects.get().revoked_at is not None
    assert actions_of(acme)[-1] == ("api_key.revoked", "user")


# --- documents, budgets, usage, settings ---


def upload(client: Client, name: str, store: str) -> None:
    file = SimpleUploadedFile(name, b"The warranty lasts two years.")
    assert client.post(f"/admin/knowledge/vectorstore/{store}/upload/", {"file": file}).status_code == 200


def test_a_file_is_uploaded_into_a_store_and_followed(acme, settings, tmp_path):
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}},
    }
    client = desk(seat(acme, "developer"))
    client.post("/admin/knowledge/vectorstore/add/", {"name": "manuals", "description": ""})
    with in_scope(acme):
        store = VectorStore.objects.get()
    upload(client, "terms.txt", str(store.id))
    page = client.get("/admin/knowledge/vectorstorefile/").content.decode()
    assert "terms.txt" in page and "manuals" in page and "queued" in page and "0 %" in page
    with in_scope(acme):
        document = VectorStoreFile.objects.get()
        VectorStoreFile.objects.update(state="failed", error_code="corrupt", error_message="The PDF is encrypted.")
    assert "The PDF is encrypted." in client.get("/admin/knowledge/vectorstorefile/").content.decode()
    client.post(f"/admin/knowledge/vectorstorefile/{document.id}/delete/", {"post": "yes"})
    client.post(
        "/admin/knowledge/file/",
        {"action": "delete_selected", "_selected_action": str(document.file_id), "post": "yes"},
    )
    client.post(f"/admin/knowledge/vectorstore/{store.id}/delete/", {"post": "yes"})
    with in_scope(acme):
        assert VectorStoreFile.objects.count() == File.objects.count() == VectorStore.objects.count() == 0
    assert [action for action, _ in actions_of(acme)][-6:] == [
        "vector_store.created", "file.created", "vector_store_file.attached", "vector_store_file.detached",
        "file.deleted", "vector_store.deleted",
    ]  # fmt: skip


def test_names_with_script_are_shown_as_text(acme, settings, tmp_path):
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}},
    }
    client = desk(seat(acme, "owner"))
    bad = "<script>alert(1)<"
    client.post("/admin/knowledge/vectorstore/add/", {"name": bad})
    with in_scope(acme):
        store = VectorStore.objects.get()
    upload(client, f"{bad}b>.txt", str(store.id))
    client.post("/admin/tenants/apikey/add/", {"name": f'{bad}"=cmd()', "scopes": ["inference"]})
    client.post("/admin/tenants/tenant/" + str(acme.tenant.id) + "/change/", {"name": bad, "content_retention_days": 1})
    client.post("/admin/billing/budget/add/", {"name": bad, "limit": "5", "period": "month"})
    for page in ("", *(f"{page}/" for page in PAGES)):
        assert bad not in client.get(f"/admin/{page}").content.decode(), page
    assert "&lt;script&gt;alert(1)" in client.get("/admin/tenants/apikey/").content.decode()


def test_a_budget_shows_what_is_left(acme):
    client = desk(seat(acme, "admin"))
    form = {"name": "monthly cap", "limit": "50.5", "period": "month", "hard": "on", "alert_shares": "50,90"}
    client.post("/admin/billing/budget/add/", {**form, "tag": "team = ads"})
    with in_scope(acme) as tenant_id:
        budget = Budget.objects.get(name="monthly cap")
        assert (budget.tag_name, budget.tag_value, budget.hard, budget.alert_shares) == ("team", "ads", True, [50, 90])
        month = datetime.now(UTC).date().replace(day=1)
        budget.accounts.create(tenant_id=tenant_id, period_start=month, spent=Decimal("20.25"), held=Decimal("0.125"))
    page = client.get("/admin/billing/budget/").content.decode()
    for figure in ("50.50 USD", "20.25 USD", "0.125 USD", "30.125 USD", "all keys, team = ads"):
        assert figure in page
    assert "at the period" in client.get(f"/admin/billing/budget/{budget.id}/change/").content.decode()
    client.post(f"/admin/billing/budget/{budget.id}/change/", {**form, "limit": "60"})
    with in_scope(acme):
        assert Budget.objects.get(id=budget.id).limit == 60
    client.post(f"/admin/billing/budget/{budget.id}/delete/", {"post": "yes"})
    assert [action for action, _ in actions_of(acme)][-3:] == ["budget.set", "budget.set", "budget.deleted"]


def test_usage_adds_up_by_model(acme):
    with in_scope(acme) as tenant_id:
        month = datetime.now(UTC).date().replace(day=1)
        for model, quantity, cost in (("small", 10, "0.10"), ("small", 5, "0.05"), ("large", 7, "1.4")):
            UsageRecord.objects.create(
                tenant_id=tenant_id, reservation_id=uuid7(), request_id=uuid7(), attempt=1, operation="chat", model=model,
                meter="input_tokens", quantity=quantity, unit_price=1, per=1, cost=Decimal(cost), currency="USD",
                period_start=month,
            )  # fmt: skip
    page = desk(seat(acme, "finance")).get("/admin/usage/", {"period": "month"})
    totals = [(row.name, row.tokens, row.cost) for row in page.context["rows"]]
    assert totals == [("large", "7", "1.40 USD"), ("small", "15", "0.150 USD")]


def test_calls_are_listed_without_their_content(acme):
    with in_scope(acme) as tenant_id:
        call = Generation.objects.create(
            tenant_id=tenant_id, kind="chat", key_id=uuid7(), alias="small", model="small-2", terms={}, inbox="x",
            request={"messages": [{"role": "user", "content": "what she asked"}]},
            answer={"choices": [{"message": {"content": "what it said"}}]}, error={"error": {"code": "upstream_error"}},
        )  # fmt: skip
    client = desk(seat(acme, "viewer"))
    for url, shown in (("", str(call.id)), (f"{call.id}/change/", call.id.hex)):
        page = client.get(f"/admin/inference/generation/{url}").content.decode()
        assert shown in page and "small" in page and "upstream_error" in page
        assert "what she asked" not in page and "what it said" not in page


def test_only_an_owner_changes_settings(acme):
    url = f"/admin/tenants/tenant/{acme.tenant.id}/change/"
    form = {"name": "Acme Ltd", "content_retention_days": "0", "status": "suspended", "slug": "other"}
    assert desk(seat(acme, "admin")).post(url, form).status_code == 403
    owner = desk(seat(acme, "owner"))
    assert owner.post(url, form).status_code == 302
    with in_scope(acme):
        tenant = Tenant.objects.get()
    assert (tenant.name, tenant.content_retention_days, tenant.status, tenant.slug) == ("Acme Ltd", 0, "active", "acme")
    assert actions_of(acme)[-1] == ("tenant.changed", "user")
    owner.post("/admin/tenants/tenant/", {"action": "suspend", "_selected_action": str(acme.tenant.id)})
    with in_scope(acme):
        assert Tenant.objects.get().status == "active"


def test_the_trail_of_an_object_says_who_did_what(acme):
    client = desk(seat(acme, "owner"))
    seat(acme, "viewer", email="new@acme.example")
    with in_scope(acme):
        added = Membership.objects.get(role="viewer")
    client.post(f"/admin/tenants/membership/{added.id}/change/", {"role": "finance"})
    page = client.get(f"/admin/tenants/membership/{added.id}/history/").content.decode()
    assert "owner@acme.example" in page and "member.added" in page
    assert "owner@acme.example" in client.get("/admin/tenants/auditevent/").content.decode()


def test_what_a_view_wrote_before_it_broke_is_undone(acme, monkeypatch):
    client = desk(seat(acme, "owner"))

    def breaks(*args, **kwargs):
        add_member(email="half@acme.example", role=Role.VIEWER, by=COMMAND_LINE)
        raise RuntimeError("half way")

    monkeypatch.setattr("tenants.admin.members.MembershipAdmin.get_queryset", breaks)
    client.raise_request_exception = False
    assert client.get("/admin/tenants/membership/").status_code == 500
    with in_scope(acme):
        assert not Membership.objects.filter(user__email="half@acme.example").exists()


def test_the_search_of_the_admins_theme_is_off(acme):
    assert desk(seat(acme, "owner")).get("/admin/search/", {"s": "key"}).status_code == 404
