"""A few hundred random steps of money (promise 8; `make prove` runs 50,000)."""

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.billing.ledger_machine import LedgerMachine


def test_random_reservations_settlements_and_expiries_keep_the_books(db):
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=6, stateful_step_count=30, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
