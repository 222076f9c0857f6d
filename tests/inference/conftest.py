"""Committed tenants, for tests in which staff must see the same rows."""

from tests.tenants.committed import _django_db_helper, committed, pytest_collection_modifyitems

__all__ = ["_django_db_helper", "committed", "pytest_collection_modifyitems"]
