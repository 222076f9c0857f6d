"""People who sit at the admin: members of the cast's tenants with a role, logged in."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from tenants.audit import COMMAND_LINE
from tenants.members import add_member
from tenants.models import Role, User
from tenants.scope import acting_for
from tests.conftest import Member


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


@pytest.fixture(autouse=True)
def plain_static_files(settings: Any) -> Iterator[None]:
    """The manifest of static files is made by collectstatic, which tests do not run."""
    storage = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": storage}
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    yield
