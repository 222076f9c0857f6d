"""Promise 1: the catalogue audit finds nothing on the migrated database, and finds every fault that is planted."""

import os

import psycopg

from tenants import catalogue
from tests.isolation.test_catalogue import FAULTS
from tests.prove.ground import Ground
from tests.prove.verdict import Verdict


def prove(ground: Ground) -> Verdict:
    """Each fault is planted in a transaction of its own that is rolled back."""
    violations = catalogue.violations("default")
    for fault, (statement, expected) in FAULTS.items():
        if not any(expected in text for text in _found_with(statement)):
            violations.append(f"not found: {fault}")
    [(tables,)] = ground.sql(
        "SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
    )
    return Verdict(f"audited {tables} tables, planted {len(FAULTS)} faults", violations)


def _found_with(statement: str) -> list[str]:
    """What the audit says, inside the transaction that has the fault."""
    with psycopg.connect(os.environ["SUPERUSER_DATABASE_URL"], dbname="atrium") as connection:

        class Planted:
            """Stands in for Django's alias."""

            cursor = staticmethod(connection.cursor)

        real = catalogue.connections
        catalogue.connections = {"default": Planted}  # type: ignore[assignment]
        try:
            connection.execute(statement)
            return catalogue.violations("default")
        finally:
            catalogue.connections = real
            connection.rollback()
