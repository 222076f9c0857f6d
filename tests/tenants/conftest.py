"""Fixtures of the tests of tenants."""

from tests.tenants.committed import _django_db_helper, committed, pytest_collection_modifyitems

__all__ = ["_django_db_helper", "committed", "pytest_collection_modifyitems"]
