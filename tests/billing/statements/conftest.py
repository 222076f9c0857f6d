"""Fixtures of the tests of statements."""

from tests.billing.conftest import _django_db_helper, committed, pytest_collection_modifyitems, till

__all__ = ["_django_db_helper", "committed", "pytest_collection_modifyitems", "till"]
