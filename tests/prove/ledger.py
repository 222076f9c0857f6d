"""Promise 8: random steps over holds, settlements, releases, expiries, charges, corrections, and budgets that come and
go, keep the books.

The machine of the suite (`tests/billing/ledger_machine.py`), with many more steps, and others at each run. Its tenants
live in transactions that are undone, so that the stack's own sweep does not end what the machine thinks is open.
"""

import traceback

from django.db import transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests import cast, conftest
from tests.billing.ledger_machine import LedgerMachine
from tests.prove.ground import Ground
from tests.prove.verdict import Verdict, scaled

_STEPS = 50
_RUNS_AT_ONCE = 20
#: What must have happened, or the steps show nothing.
_HAPPENS = (
    "budgets set", "holds", "refusals", "settlements", "parts", "released", "unknown", "charges", "corrections",
)  # fmt: skip


def prove(ground: Ground) -> Verdict:
    """Until there are enough steps, or one of them breaks the books; hypothesis tells the steps that led there."""
    conftest._recordings.append(cast.record())
    wanted, violations = scaled(50_000), []
    while not violations and _steps() < wanted:
        with transaction.atomic():
            violations = _broken()
            transaction.set_rollback(True)
    seen = LedgerMachine.seen
    violations += [f"{_steps()} steps without any {what}" for what in _HAPPENS if not seen[what]]
    told = ", ".join(f"{seen[what]} {what}" for what in _HAPPENS)
    return Verdict(f"{_steps()} steps by {seen['machines']} tenants: {told}", violations)


def _steps() -> int:
    """The books are looked at once before a machine's first step and after each."""
    return LedgerMachine.seen["checks"] - LedgerMachine.seen["machines"]


def _broken() -> list[str]:
    try:
        run_state_machine_as_test(
            LedgerMachine,
            settings=settings(
                max_examples=_RUNS_AT_ONCE, stateful_step_count=_STEPS, deadline=None, database=None,
                phases=[Phase.generate], suppress_health_check=list(HealthCheck),
            ),
        )  # fmt: skip
    except Exception as error:  # noqa: BLE001  whatever a step raised, the books or the machine are wrong
        traceback.print_exc()
        return [f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])]
    return []
