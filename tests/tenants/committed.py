"""Committed tenants, for tests in which several connections (threads, the staff role) must see the same rows.

pytest-django's flush would take the seeded plans and models along, so the rows are deleted through the owner instead.
A conftest imports all three names.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.apps import apps
from django.db import connections, transaction

from tenants.append_only import trigger_of
from tenants.managers import TenantModel
from tenants.models import PlatformKey, Tenant, User
from tests.conftest import Member, make_member


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The mark has pytest-django make the database, and run these tests before any that flushes it."""
    for item in items:
        if "committed" in getattr(item, "fixturenames", ()) and not item.get_closest_marker("django_db"):
            item.add_marker(pytest.mark.django_db(databases=["default", "owner", "staff"]))


@pytest.fixture
def _django_db_helper(request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """pytest-django's, but without its transaction where a test commits."""
    if "committed" not in request.fixturenames:
        request.getfixturevalue("_django_db_helper")
        yield
        return
    with django_db_blocker.unblock():
        yield


@pytest.fixture
def committed(_django_db_helper: None) -> Iterator[Callable[[str], Member]]:
    """Makes committed members by slug; whatever tenants exist at the end are deleted with all they own."""
    yield make_member
    connections.close_all()
    _delete_everything()
    connections.close_all()


def _delete_everything() -> None:
    owned = [model for model in apps.get_models() if issubclass(model, TenantModel)]
    with transaction.atomic(using="owner"), connections["owner"].cursor() as cursor:
        guarded = [(model._meta.db_table, trigger) for model in owned if (trigger := trigger_of(model))]
        for table, trigger in guarded:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")
        # Foreign keys are checked after all of it, so the order does not matter.
        for model in (*owned, Tenant, PlatformKey, User):
            cursor.execute(f"DELETE FROM {model._meta.db_table}")
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table, trigger in guarded:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER {trigger}")
