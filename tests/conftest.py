"""The fixed cast: acme and globex, two tenants with a key each, as the domain functions an operator uses make them."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.db import connections
from rest_framework.test import APIClient

from tenants.authentication import forget_verified_keys
from tenants.models import Tenant
from tests import cast, template

# Few examples: the suite has minutes. They are others at each run; `make prove` tries the promises with many.
# A busy machine is no failure: no example has a deadline.
hypothesis.settings.register_profile(
    "suite", max_examples=30, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("suite")


@dataclass(frozen=True)
class Member:
    """A tenant and a key of it that may do everything."""

    tenant: Tenant
    key: str

    @property
    def client(self) -> APIClient:
        """A REST client that sends the key."""
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {self.key}")
        return client


_recordings: list[cast.Recording] = []


def make_member(slug: str) -> Member:
    return Member(*_recordings[0].play(slug))


@pytest.fixture(autouse=True)
def _no_remembered_keys() -> Iterator[None]:
    forget_verified_keys()
    yield
    forget_verified_keys()


@pytest.fixture
def acme(db: None) -> Member:
    return make_member("acme")


@pytest.fixture
def globex(db: None) -> Member:
    return make_member("globex")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that use the database name all three aliases: the owner makes it, the app and staff work in it."""
    for item in items:
        if {"db", "transactional_db"} & set(getattr(item, "fixturenames", ())) and not item.get_closest_marker(
            "django_db"
        ):
            item.add_marker(pytest.mark.django_db(databases=["default", "owner", "staff"]))


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Test databases are copies of the migrated one, where this session has made one."""
    if "TEST_DATABASE_TEMPLATE" in os.environ:
        template.wait(Path(os.environ["ATRIUM_VAR"]))
        connections["owner"].settings_dict["TEST"]["TEMPLATE"] = os.environ["TEST_DATABASE_TEMPLATE"]


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """pytest-django's set-up, and the tenant that the cast is copied from.

    At the end the pools give up their connections, or the database could not be dropped.
    """
    with django_db_blocker.unblock():
        _recordings.append(cast.record())
    yield
    with django_db_blocker.unblock():
        for connection in connections.all(initialized_only=True):
            connection.close()
            connection.close_pool()
