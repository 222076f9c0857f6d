"""A state machine over reserve, dispatch, settle, release and expire, of calls and their parts, with the invariants of
money.

Its own model of the truth is a dictionary; the database must agree after every step. The suite runs a few hundred
steps of it; the machine is a module of its own so that a longer proof can import it.
"""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from billing.models import BudgetAccount, Reservation, UsageRecord
from billing.reservations import (
    BudgetExhausted,
    BudgetHeld,
    HoldGone,
    dispatched,
    release,
    reserve_child,
    settle,
    settle_expired,
)
from tenants.ids import uuid7
from tenants.models import ApiKey
from tenants.scope import tenant_scope
from tests.billing.conftest import QUOTE, Till, tokens
from tests.conftest import make_member

amounts = st.decimals(min_value=0, max_value=Decimal("0.4"), places=12)
counts = st.integers(min_value=0, max_value=40_000)


class LedgerMachine(RuleBasedStateMachine):
    """One tenant with a budget of 1.00 and, of it, one key with 0.50."""

    open_calls: Bundle[UUID] = Bundle("open_calls")
    parts: Bundle[UUID] = Bundle("parts")

    def __init__(self) -> None:
        super().__init__()
        self.till = Till(make_member(f"t-{uuid7().hex[-12:]}").tenant.id)
        with self.till.acting(), tenant_scope():
            self.key = ApiKey.objects.get().id
        # The tenant's first: the rules below count on it.
        self.limits = {self.till.budget("1.00"): Decimal(1)}
        self.limits[self.till.budget("0.50", name="key", key_id=self.key)] = Decimal("0.5")
        self.open: dict[UUID, tuple[Decimal, bool]] = {}
        #: part → (what it holds, its call, whether it was dispatched)
        self.open_parts: dict[UUID, tuple[Decimal, UUID, bool]] = {}
        self.attempts = 1
        self.spent = {budget: Decimal(0) for budget in self.limits}
        self.charged = Decimal(0)

    def _end(self, call: UUID, charged: Decimal) -> None:
        """A call ends, and with it what is open of its parts: those that were dispatched are charged at their holds."""
        for part in [part for part, (_, parent, _) in self.open_parts.items() if parent == call]:
            held, _, sent = self.open_parts[part]
            self._end_part(part, held if sent else Decimal(0))
        self._charge(charged, of_key=self.open.pop(call)[1])

    def _end_part(self, part: UUID, charged: Decimal) -> None:
        _, call, _ = self.open_parts.pop(part)
        self._charge(charged, of_key=self.open[call][1])

    def _charge(self, charged: Decimal, *, of_key: bool) -> None:
        self.charged += charged
        for position, budget in enumerate(self.limits):
            if position == 0 or of_key:
                self.spent[budget] += charged

    def _held(self, position: int) -> Decimal:
        """By calls under way and their parts, of the tenant's budget or the key's."""
        calls = [held for held, keyed in self.open.values() if position == 0 or keyed]
        parts = [held for held, call, _ in self.open_parts.values() if position == 0 or self.open[call][1]]
        return sum((*calls, *parts), Decimal(0))

    def _left(self, of_key: bool) -> list[Decimal]:
        return [
            limit - self.spent[budget] - self._held(position)
            for position, (budget, limit) in enumerate(self.limits.items())
            if position == 0 or of_key
        ]

    @rule(target=open_calls, hold=amounts, least=amounts, of_key=st.booleans(), expired=st.booleans())
    def reserve(self, hold: Decimal, least: Decimal, of_key: bool, expired: bool) -> UUID | None:
        """A hold is granted exactly where every budget has the least left, and is all that they have of the wish."""
        least = min(least, hold)
        expected = min(hold, *self._left(of_key))
        try:
            call, held = self.till.hold(
                str(hold),
                at_least=str(least),
                key_id=self.key if of_key else None,
                lease=timedelta(seconds=-1) if expired else timedelta(hours=1),
            )
        except (BudgetExhausted, BudgetHeld):
            assert expected < least
            return None
        assert held == expected >= least
        self.open[call] = (held, of_key)
        return call

    @rule(call=open_calls)
    def dispatch(self, call: UUID | None) -> None:
        """Only calls under way can be dispatched."""
        if call in self.open:
            with self.till.acting():
                dispatched(call)

    @rule(call=consumes(open_calls), input_tokens=counts, output_tokens=counts)
    def settle(self, call: UUID | None, input_tokens: int, output_tokens: int) -> None:
        """The cost is what the tokens are worth, or the hold; nothing where the call ended before."""
        if call is None:
            return
        with self.till.acting():
            cost = settle(call, tokens(input_tokens, output_tokens))
        if call not in self.open:
            assert cost is None
            return
        worth = Decimal("0.0000025") * input_tokens + Decimal("0.00001") * output_tokens
        assert cost == min(worth, self.open[call][0])
        self._end(call, cost)

    @rule(call=consumes(open_calls))
    def give_back(self, call: UUID | None) -> None:
        """A release costs nothing."""
        if call is None:
            return
        with self.till.acting():
            release(call)
        if call in self.open:
            self._end(call, Decimal(0))

    @rule(target=parts, call=open_calls, hold=amounts, least=amounts)
    def reserve_part(self, call: UUID | None, hold: Decimal, least: Decimal) -> UUID | None:
        """A part holds on its call's budgets what they have left, while the call is open; afterwards nothing."""
        if call is None:
            return None
        least, ident = min(least, hold), uuid7()
        expected = min(hold, *self._left(self.open[call][1])) if call in self.open else None
        try:
            with self.till.acting():
                held = reserve_child(
                    call, reservation_id=ident, operation="part", hold=hold, hold_min=least, quote=QUOTE,
                    lease=timedelta(hours=1),
                )  # fmt: skip
        except HoldGone:
            assert call not in self.open
            return None
        except (BudgetExhausted, BudgetHeld):
            assert expected is not None and expected < least
            return None
        assert held == expected
        self.open_parts[ident] = (held, call, False)
        return ident

    @rule(part=parts)
    def dispatch_part(self, part: UUID | None) -> None:
        """Only parts of calls under way can be dispatched."""
        if part in self.open_parts:
            with self.till.acting():
                dispatched(part)
            held, call, _ = self.open_parts[part]
            self.open_parts[part] = (held, call, True)

    @rule(part=consumes(parts), output_tokens=counts)
    def settle_part(self, part: UUID | None, output_tokens: int) -> None:
        """A part costs what it used, or its hold; nothing where it ended with its call."""
        if part is None:
            return
        self.attempts += 1
        with self.till.acting():
            cost = settle(part, tokens(0, output_tokens, attempt=self.attempts))
        if part not in self.open_parts:
            assert cost is None
            return
        assert cost == min(Decimal("0.00001") * output_tokens, self.open_parts[part][0])
        self._end_part(part, cost)

    @rule()
    def expire(self) -> None:
        """The sweep ends what is past its lease: dispatched calls at their hold, the others at nothing."""
        with self.till.acting(), tenant_scope():
            states = {row.id: row for row in Reservation.objects.filter(id__in=list(self.open))}
        settle_expired()
        with self.till.acting(), tenant_scope():
            after = dict(Reservation.objects.filter(id__in=list(self.open)).values_list("id", "state"))
        for call, state in after.items():
            sent = states[call].dispatched_at is not None
            assert state in ("open", "unknown" if sent else "released")
            if state != "open":
                self._end(call, self.open[call][0] if sent else Decimal(0))

    @invariant()
    def the_accounts_agree_with_the_model(self) -> None:
        """No budget is overspent; spent is what was charged, held is what is open; the ledger is what was charged."""
        with self.till.acting(), tenant_scope():
            accounts = {account.budget_id: account for account in BudgetAccount.objects.all()}
            ledger = sum(UsageRecord.objects.values_list("cost", flat=True), Decimal(0))
        assert ledger == self.charged
        for position, (budget, limit) in enumerate(self.limits.items()):
            held = self._held(position)
            if budget in accounts:
                account = accounts[budget]
                assert (account.spent, account.held) == (self.spent[budget], held)
                assert account.spent + account.held <= limit
            else:
                assert self.spent[budget] == held == 0

    def teardown(self) -> None:
        """When all calls have ended, nothing is held."""
        for call in list(self.open):
            self.give_back(call)
        with self.till.acting(), tenant_scope():
            assert {account.held for account in BudgetAccount.objects.all()} <= {Decimal(0)}
