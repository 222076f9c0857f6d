"""The admin: log-in and its limits, each role on each page, keys shown once, audit rows, staff."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections
from django.test import Client

from billing.models import Budget, LimitOverride, Plan, Subscription, UsageRecord
from inference.models import Deployment, Generation, Model
from knowledge.models import File, VectorStore, VectorStoreFile
from tenants.audit import COMMAND_LINE
from tenants.ids import uuid7
from tenants.members import LastOwner, add_member, change_role, remove_member
from tenants.models import ApiKey, AuditEvent, Membership, Role, Tenant, User
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.tenants.admin_desk import desk, plain_static_files, seat

__all__ = ["plain_static_files"]

#: Page → the object of `ROLE_PERMISSIONS` that guards it, and whether tenants can add there.
PAGES = {
    "knowledge/vectorstore": ("documents", True),
    "knowledge/file": ("documents", True),
    "knowledge/vectorstorefile": ("documents", False),
    "tenants/apikey": ("keys", True),
    "tenants/membership": ("members", False),
    "tenants/invitation": ("members", True),
    "tenants/webhookendpoint": ("webhooks", True),
    "tenants/webhookdelivery": ("webhooks", False),
    "tenants/auditevent": ("audit", False),
    "tenants/tenant": ("settings", False),
    "billing/budget": ("budgets", True),
    "billing/budgetalert": ("budgets", False),
    "billing/usagerecord": ("usage", False),
    "billing/statement": ("usage", False),
    "billing/creditnote": ("usage", False),
    "billing/report": ("reports", True),
    "billing/reportschedule": ("reports", True),
    "inference/generation": ("requests", False),
    "inference/grant": ("models", False),
    "inference/variant": ("models", False),
    "inference/inferenceattempt": ("requests", False),
    "inference/prompt": ("prompts", True),
    "inference/promptversion": ("prompts", False),
    "inference/feedback": ("feedback", False),
}
STAFF_PAGES = [
    "billing/plan", "billing/limitoverride", "billing/price", "billing/tenantprice", "billing/subscription",
    "inference/model", "inference/deployment", "inference/fallback", "tenants/user",
]  # fmt: skip


@contextmanager
def in_scope(member: Member) -> Iterator[UUID]:
    with acting_for(member.tenant.id), tenant_scope() as tenant_id:
        yield tenant_id


def actions_of(member: Member) -> list[tuple[str, str]]:
    with in_scope(member):
        return list(AuditEvent.objects.order_by("id").values_list("action", "actor_type"))


# --- log-in ---


def log_in(client: Client, username: str, password: str, address: str) -> int:
    data = {"username": username, "password": password, "next": "/admin/"}
    return client.post("/admin/login/", data, REMOTE_ADDR=address).status_code


@pytest.mark.parametrize("page", ["", *(f"{page}/" for page in PAGES), "tenant/", "autocomplete/"])
def test_a_stranger_is_sent_to_log_in(db, page):
    answer = Client().get(f"/admin/{page}")
    assert answer.status_code == 302
    assert answer["Location"].startswith("/admin/login/")


@pytest.mark.parametrize("typed", ["owner@acme.example", " Owner@ACME.example "])
def test_a_member_logs_in_by_e_mail_and_sees_the_tenant(acme, typed):
    user = seat(acme, "owner")
    user.set_password("correct horse")
    user.save()
    client = Client()
    assert log_in(client, typed, "correct horse", "10.1.0.1") == 302
    assert "Acme" in client.get("/admin/").content.decode()


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(acme):
    seat(acme, "owner", email="known@acme.example")
    data = {"password": "guess"}
    texts = []
    for name in ("known@acme.example", "unknown@acme.example"):
        page = Client().post("/admin/login/", {**data, "username": name}, REMOTE_ADDR="10.5.0.1")
        texts.append(list(page.context["form"].non_field_errors()))
    assert texts == [["That e-mail address (or user name) and password do not belong together."]] * 2


def test_the_sixth_failure_on_a_name_is_429_even_with_the_right_password(acme):
    user = seat(acme, "owner", email="sixth@acme.example")
    user.set_password("correct horse")
    user.save()
    # A new address each time, so that only the name counts.
    failures = [log_in(Client(), user.email, "guess", f"10.2.0.{n}") for n in range(5)]
    assert failures == [200] * 5
    assert log_in(Client(), user.email, "correct horse", "10.2.0.9") == 429


def test_the_sixth_failure_from_an_address_is_429_whatever_the_name(db):
    failures = [log_in(Client(), f"nobody-{n}@address.example", "guess", "10.3.0.1") for n in range(5)]
    assert failures == [200] * 5
    assert log_in(Client(), "somebody-else@address.example", "guess", "10.3.0.1") == 429
    assert log_in(Client(), "somebody-else@address.example", "guess", "10.3.0.2") == 200


def test_logging_in_often_is_no_failure(acme):
    user = seat(acme, "owner", email="often@acme.example")
    user.set_password("correct horse")
    user.save()
    assert [log_in(Client(), user.email, "correct horse", "10.4.0.1") for _ in range(8)] == [302] * 8


def test_a_person_without_a_membership_is_told_so(db):
    answer = desk(User.objects.create_user("lost", "lost@example.com")).get("/admin/")
    assert answer.status_code == 403
    assert "not a member of any tenant" in answer.content.decode()


def test_a_removed_member_is_out_at_the_next_click(acme):
    seat(acme, "owner")
    client = desk(seat(acme, "admin"))
    assert client.get("/admin/").status_code == 200
    with in_scope(acme):
        remove_member(membership_id=Membership.objects.get(role="admin").id, by=COMMAND_LINE)
    assert client.get("/admin/").status_code == 403


def test_is_staff_alone_opens_nothing(db):
    user = User.objects.create_user("half", "half@example.com", is_staff=True)
    assert desk(user).get("/admin/tenants/apikey/").status_code == 403


def test_a_member_of_two_tenants_chooses(acme, globex):
    user = seat(acme, "viewer", email="both@example.com")
    seat(globex, "owner", email="both@example.com")
    client = desk(user)
    assert client.get("/admin/tenants/apikey/").status_code == 403
    choice = client.get("/admin/tenant/").content.decode()
    assert "Acme" in choice and "Globex" in choice
    assert client.post("/admin/tenant/", {"tenant": str(globex.tenant.id)}).status_code == 302
    assert client.get("/admin/tenants/apikey/").status_code == 200
    assert client.post("/admin/tenant/", {"tenant": str(uuid7())}).status_code == 404


# --- roles: `test_roles` walks them ---


def test_an_admin_neither_makes_nor_removes_owners(acme):
    seat(acme, "owner")
    client = desk(seat(acme, "admin"))
    with in_scope(acme):
        owner = Membership.objects.get(role="owner")
    assert (
        client.post("/admin/tenants/invitation/add/", {"email": "x@acme.example", "role": "owner"}).status_code == 200
    )
    assert client.post(f"/admin/tenants/membership/{owner.id}/delete/", {"post": "yes"}).status_code == 403
    assert client.post(f"/admin/tenants/membership/{owner.id}/change/", {"role": "viewer"}).status_code == 403
    form = {"action": "delete_selected", "_selected_action": str(owner.id), "post": "yes"}
    assert client.post("/admin/tenants/membership/", form).status_code == 403
    with in_scope(acme):
        assert Membership.objects.filter(role="owner").count() == 1


# --- members ---


def test_a_member_is_changed_and_removed_with_an_audit_row_each(acme):
    client = desk(seat(acme, "owner"))
    seat(acme, "finance", email="new@acme.example")
    with in_scope(acme):
        added = Membership.objects.get(role="finance")
    client.post(f"/admin/tenants/membership/{added.id}/change/", {"role": "viewer"})
    with in_scope(acme):
        assert Membership.objects.get(id=added.id).role == "viewer"
    client.post(f"/admin/tenants/membership/{added.id}/delete/", {"post": "yes"})
    with in_scope(acme):
        assert not Membership.objects.filter(id=added.id).exists()
    done = [("member.added", "command"), ("member.role_changed", "user"), ("member.removed", "user")]
    assert actions_of(acme)[-3:] == done
    assert User.objects.filter(email="new@acme.example").exists()
    assert not LogEntry.objects.exists()


def test_somebody_known_elsewhere_is_invited_like_somebody_new(acme, globex):
    seat(globex, "owner", email="known@example.com")
    client = desk(seat(acme, "owner"))
    answers = []
    for email in ("known@example.com", "fresh@example.com"):
        answer = client.post("/admin/tenants/invitation/add/", {"email": email, "role": "viewer"}, follow=True)
        messages = [str(message).replace(email, "") for message in answer.context["messages"]]
        answers.append((answer.status_code, [re.sub(r"[0-9a-f-]{36}", "", message) for message in messages]))
    assert answers[0] == answers[1]


def test_the_last_owner_stays(acme):
    client = desk(seat(acme, "owner"))
    with in_scope(acme):
        owner = Membership.objects.get()
    answer = client.post(f"/admin/tenants/membership/{owner.id}/delete/", {"post": "yes"}, follow=True)
    assert "last owner" in answer.content.decode()
    answer = client.post(f"/admin/tenants/membership/{owner.id}/change/", {"role": "viewer"}, follow=True)
    assert "last owner" in answer.content.decode()
    with in_scope(acme):
        assert Membership.objects.get().role == "owner"
        with pytest.raises(LastOwner):
            change_role(membership_id=owner.id, role=Role.ADMIN, by=COMMAND_LINE)


def test_a_member_is_not_invited(acme):
    client = desk(seat(acme, "owner"))
    answer = client.post(
        "/admin/tenants/invitation/add/", {"email": "owner@acme.example", "role": "viewer"}, follow=True
    )
    assert "is a member already" in answer.content.decode()


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


# --- platform staff ---


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
