"""People who sit at the admin: members of the cast's tenants with a role, logged in."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from django.test import Client

from tenants.audit import COMMAND_LINE
from tenants.members import add_member
from tenants.models import AuditEvent, Role, User
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member

#: The lists that tenants have, and those that are the platform staff's alone.
PAGES = [
    "knowledge/vectorstore",
    "knowledge/file",
    "knowledge/vectorstorefile",
    "tenants/apikey",
    "tenants/membership",
    "tenants/invitation",
    "tenants/webhookendpoint",
    "tenants/webhookdelivery",
    "tenants/auditevent",
    "tenants/tenant",
    "billing/budget",
    "billing/budgetalert",
    "billing/usagerecord",
    "billing/statement",
    "billing/creditnote",
    "billing/report",
    "billing/reportschedule",
    "inference/generation",
    "inference/grant",
    "inference/variant",
    "inference/inferenceattempt",
    "inference/prompt",
    "inference/promptversion",
    "inference/feedback",
]
STAFF_PAGES = [
    "billing/plan", "billing/limitoverride", "billing/price", "billing/tenantprice", "billing/subscription",
    "inference/model", "inference/deployment", "inference/fallback", "tenants/user",
]  # fmt: skip


def seat(member: Member, role: str, email: str = "") -> User:
    """Somebody with a role in the member's tenant; the same address is the same person."""
    with acting_for(member.tenant.id):
        add_member(email=email or f"{role}@{member.tenant.slug}.example", role=Role(role), by=COMMAND_LINE)
    return User.objects.get(email=email or f"{role}@{member.tenant.slug}.example")


def desk(user: User) -> Client:
    """A browser in which the user is logged in."""
    client = Client()
    client.force_login(user)
    return client


@contextmanager
def in_scope(member: Member) -> Iterator[UUID]:
    """The member's tenant, as the database shows it."""
    with acting_for(member.tenant.id), tenant_scope() as tenant_id:
        yield tenant_id


def actions_of(member: Member) -> list[tuple[str, str]]:
    """The audit log of the member's tenant: what was done, and by what kind of actor."""
    with in_scope(member):
        return list(AuditEvent.objects.order_by("id").values_list("action", "actor_type"))


@pytest.fixture(autouse=True)
def plain_static_files(settings: Any) -> Iterator[None]:
    """The manifest of static files is made by collectstatic, which tests do not run."""
    storage = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": storage}
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    yield
