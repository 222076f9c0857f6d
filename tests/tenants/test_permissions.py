"""The tables of scopes and roles."""

import pytest

from tenants.models import Role
from tenants.permissions import KEY_SCOPES, ROLE_PERMISSIONS, role_may


def test_every_role_has_its_permissions():
    assert set(ROLE_PERMISSIONS) == set(Role.values)


def test_who_may_change_implies_who_may_see():
    for permissions in ROLE_PERMISSIONS.values():
        for permission in permissions:
            thing, _, verb = permission.partition(".")
            assert verb == "view" or f"{thing}.view" in permissions


def test_an_owner_may_what_anybody_may():
    assert all(permissions <= ROLE_PERMISSIONS["owner"] for permissions in ROLE_PERMISSIONS.values())


@pytest.mark.parametrize(
    ("role", "permission", "may"),
    [
        ("viewer", "documents.view", True),
        ("viewer", "documents.change", False),
        ("viewer", "keys.view", False),
        ("finance", "usage.view", True),
        ("finance", "documents.view", False),
        ("developer", "keys.change", True),
        ("developer", "members.view", False),
        ("admin", "members.change", True),
        ("admin", "settings.change", False),
        ("owner", "settings.change", True),
        ("nobody", "usage.view", False),
        (None, "usage.view", False),
    ],
)
def test_roles(role, permission, may):
    assert role_may(role, permission) is may


def test_scopes_fit_their_column():
    assert all(0 < len(scope) <= 40 for scope in KEY_SCOPES)
