"""A state machine over reserve, dispatch, settle, release and expire, of calls and their parts, over charges without a
hold, corrections and budgets that come, change and go, with the invariants of money.

Its own model of the truth is a few numbers; the database must agree after every step. The suite runs a few hundred
steps of it; the machine is a module of its own so that a longer proof can import it.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import ClassVar
from uuid import UUID

from django.db.models import Count, Q, Sum
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from billing.budgets.setting import change_budget, delete_budget, set_budget
from billing.charging import charge_spend
from billing.corrections import correct
from billing.models import BudgetAccount, Reservation, UsageRecord
from billing.prices import Allowance, UnitPrice
from billing.reservations import (
    BudgetExhausted,
    BudgetHeld,
    HoldGone,
    UsageLine,
    dispatched,
    release,
    reserve_child,
    settle,
    settle_expired,
)
from tenants.audit import COMMAND_LINE
from tenants.errors import InvalidRequest
from tenants.ids import uuid7
from tenants.models import ApiKey
from tenants.scope import tenant_scope
from tests.billing.conftest import QUOTE, Till, tokens
from tests.conftest import make_member

amounts = st.decimals(min_value=0, max_value=Decimal("0.4"), places=12)
limits = st.decimals(min_value=0, max_value=2, places=2)
counts = st.integers(min_value=0, max_value=40_000)
TAG = ("team", "red")
_MOST_BUDGETS = 5

#: 50,000 units a month cost nothing; then a millionth is 5.00, from the 60,001st on 2.50, from the 200,001st on 1.25.
TIERED = ("tiered", "input_tokens")
INCLUDED = 50_000
TIERS = ((0, Decimal(5)), (60_000, Decimal("2.5")), (200_000, Decimal("1.25")))
STORAGE = ("storage", "storage_byte_hours")


def tiered_quote() -> dict[tuple[str, str], UnitPrice]:
    """The price of `TIERED`, with an allowance of its own."""
    allowance = Allowance(uuid7(), INCLUDED)
    return {TIERED: UnitPrice(uuid7(), *TIERED, TIERS[0][1], 1_000_000, tiers=TIERS[1:], allowance=allowance)}


STORED = {STORAGE: UnitPrice(uuid7(), *STORAGE, Decimal(2), 1_000_000)}


@dataclass(frozen=True)
class Payer:
    """Whose calls: of the key, whose calls have the tag too, or of none."""

    keyed: bool
    tagged: bool


@dataclass(frozen=True)
class Call:
    """A call under way: what it holds, for whom, and whether it is of `TIERED`."""

    held: Decimal
    payer: Payer
    tiered: bool


@dataclass(frozen=True)
class Part:
    """A part of a call under way."""

    held: Decimal
    call: UUID
    sent: bool


@dataclass
class Limit:
    """A budget: `most` is the limit, or what was spent and held of it when it was set or above it was charged."""

    name: str
    of: str
    limit: Decimal
    hard: bool
    most: Decimal = Decimal(0)

    def covers(self, payer: Payer) -> bool:
        """Whether it pays for it."""
        return {"tenant": True, "key": payer.keyed, "tag": payer.tagged}[self.of]


class LedgerMachine(RuleBasedStateMachine):
    """One tenant with a budget of 1.00, of it one key with 0.50, and budgets that come and go."""

    open_calls: Bundle[UUID] = Bundle("open_calls")
    parts: Bundle[UUID] = Bundle("parts")
    #: What happened, in all machines of the process.
    seen: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.seen["machines"] += 1
        self.till = Till(make_member(f"t-{uuid7().hex[-12:]}").tenant.id)
        with self.till.acting(), tenant_scope():
            self.key = ApiKey.objects.get().id
            ApiKey.objects.update(tags=dict([TAG]))
        self.tiered = tiered_quote()
        self.open: dict[UUID, Call] = {}
        self.open_parts: dict[UUID, Part] = {}
        self.attempts = 1
        self.spent: Counter[Payer] = Counter()
        #: Units of `TIERED` that were settled.
        self.units = 0
        self.charges: dict[UUID, Decimal] = {}
        self.budgets: dict[UUID, Limit] = {}
        self._set_budget("tenant", "tenant", Decimal(1), hard=True)
        self._set_budget("key", "key", Decimal("0.5"), hard=True)

    # The model.

    def _used(self, budget: Limit) -> tuple[Decimal, Decimal]:
        """(spent, held) of a budget."""
        spent = [amount for payer, amount in self.spent.items() if budget.covers(payer)]
        calls = [call.held for call in self.open.values() if budget.covers(call.payer)]
        parts = [part.held for part in self.open_parts.values() if budget.covers(self.open[part.call].payer)]
        return sum(spent, Decimal(0)), sum((*calls, *parts), Decimal(0))

    def _left(self, payer: Payer) -> list[Decimal]:
        above = [budget for budget in self.budgets.values() if budget.hard and budget.covers(payer)]
        return [budget.limit - sum(self._used(budget)) for budget in above]

    def _push(self, payer: Payer, cost: Decimal) -> None:
        """What was not held before is spent, though it may be above a limit."""
        self.spent[payer] += cost
        for budget in self.budgets.values():
            if budget.covers(payer):
                budget.most += max(cost, Decimal(0))

    def _end(self, call: UUID, charged: Decimal) -> None:
        """A call ends, and with it what is open of its parts: those that were dispatched are charged at their holds."""
        for ident in [ident for ident, part in self.open_parts.items() if part.call == call]:
            part = self.open_parts[ident]
            self._end_part(ident, part.held if part.sent else Decimal(0))
        self.spent[self.open.pop(call).payer] += charged

    def _end_part(self, ident: UUID, charged: Decimal) -> None:
        self.spent[self.open[self.open_parts.pop(ident).call].payer] += charged

    def _worth(self, units: int) -> Decimal:
        """What the next units of `TIERED` cost: each has the price of the tier in which it lies."""
        first = max(0, self.units - INCLUDED)
        self.units += units
        last = max(0, self.units - INCLUDED)
        ends = [*(start for start, _ in TIERS[1:]), last]
        return sum(
            (
                max(0, min(end, last) - max(start, first)) * amount / 1_000_000
                for (start, amount), end in zip(TIERS, ends, strict=True)
            ),
            Decimal(0),
        )

    # Budgets.

    def _set_budget(self, name: str, of: str, limit: Decimal, *, hard: bool, period: str = "month") -> None:
        with self.till.acting():
            ident = set_budget(
                name=name, limit=limit, hard=hard, period=period, by=COMMAND_LINE,
                key_id=self.key if of == "key" else None, tag=TAG if of == "tag" else None,
            ).id  # fmt: skip
        budget = self.budgets[ident] = Limit(name, of, limit, hard)
        budget.most = max(limit, sum(self._used(budget)))
        self.seen["budgets set"] += 1

    @precondition(lambda self: len(self.budgets) < _MOST_BUDGETS)
    @rule(
        of=st.sampled_from(["tenant", "key", "tag"]), limit=limits, hard=st.booleans(),
        period=st.sampled_from(["month", "total"]),
    )  # fmt: skip
    def new_budget(self, of: str, limit: Decimal, hard: bool, period: str) -> None:
        """A budget counts what was spent of its period before it was set, and what is held."""
        self._set_budget(uuid7().hex, of, limit, hard=hard, period=period)

    @precondition(lambda self: self.budgets)
    @rule(data=st.data(), limit=limits)
    def change_budget(self, data: st.DataObject, limit: Decimal) -> None:
        """Another limit holds from the next call on."""
        ident = data.draw(st.sampled_from(list(self.budgets)))
        budget = self.budgets[ident]
        budget.limit, budget.most = limit, max(limit, sum(self._used(budget)))
        with self.till.acting():
            change_budget(budget_id=ident, limit=limit, by=COMMAND_LINE)

    @precondition(lambda self: len(self.budgets) > 2)
    @rule(data=st.data())
    def remove_budget(self, data: st.DataObject) -> None:
        """Without a budget its calls go on; the ledger stays."""
        ident = data.draw(st.sampled_from(list(self.budgets)))
        del self.budgets[ident]
        with self.till.acting():
            delete_budget(budget_id=ident, by=COMMAND_LINE)

    # Calls.

    @rule(
        target=open_calls,
        hold=amounts,
        least=amounts,
        of_key=st.booleans(),
        expired=st.booleans(),
        tiered=st.booleans(),
    )
    def reserve(self, hold: Decimal, least: Decimal, of_key: bool, expired: bool, tiered: bool) -> UUID | None:
        """A hold is granted exactly where every hard budget has the least left, and is all that they have of the wish."""
        least, payer = min(least, hold), Payer(of_key, of_key)
        expected = min(hold, *self._left(payer), hold)
        try:
            call, held = self.till.hold(
                str(hold),
                at_least=str(least),
                key_id=self.key if of_key else None,
                lease=timedelta(seconds=-1) if expired else timedelta(hours=1),
                quote=self.tiered if tiered else QUOTE,
            )
        except (BudgetExhausted, BudgetHeld):
            assert expected < least
            self.seen["refusals"] += 1
            return None
        assert held == expected >= least
        self.seen["holds"] += 1
        self.open[call] = Call(held, payer, tiered)
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
        under_way = self.open.get(call)
        if under_way and under_way.tiered:
            lines, worth = [UsageLine(*TIERED, input_tokens)], self._worth(input_tokens)
        else:
            lines = tokens(input_tokens, output_tokens)
            worth = Decimal("0.0000025") * input_tokens + Decimal("0.00001") * output_tokens
        with self.till.acting():
            cost = settle(call, lines)
        if under_way is None:
            assert cost is None
            return
        assert cost == min(worth, under_way.held)
        self.seen["settlements"] += 1
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
        expected = min(hold, *self._left(self.open[call].payer), hold) if call in self.open else None
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
        self.seen["parts"] += 1
        self.open_parts[ident] = Part(held, call, sent=False)
        return ident

    @rule(part=parts)
    def dispatch_part(self, part: UUID | None) -> None:
        """Only parts of calls under way can be dispatched."""
        if part in self.open_parts:
            with self.till.acting():
                dispatched(part)
            waiting = self.open_parts[part]
            self.open_parts[part] = Part(waiting.held, waiting.call, sent=True)

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
        assert cost == min(Decimal("0.00001") * output_tokens, self.open_parts[part].held)
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
                self.seen[state] += 1
                self._end(call, self.open[call].held if sent else Decimal(0))

    # What no hold precedes.

    @rule(of_key=st.booleans(), tagged=st.booleans(), units=counts, again=st.booleans())
    def charge(self, of_key: bool, tagged: bool, units: int, again: bool) -> None:
        """What was used is charged whatever the limits, and once."""
        request = next(iter(self.charges)) if again and self.charges else uuid7()
        with self.till.acting():
            cost = charge_spend(
                request_id=request, operation="storage", lines=[UsageLine(*STORAGE, units)], quote=STORED, currency="USD",
                at=datetime.now(UTC), key_id=self.key if of_key else None, tags=dict([TAG]) if tagged else {},
            )  # fmt: skip
        if request in self.charges or not units:
            assert cost is None
            return
        assert cost == units * Decimal("0.000002")
        self.seen["charges"] += 1
        self.charges[request] = cost
        self._push(Payer(of_key, tagged), cost)

    @rule(number=st.integers(min_value=0), quantity=st.integers(-40_000, 40_000), cost=amounts, less=st.booleans())
    def correct(self, number: int, quantity: int, cost: Decimal, less: bool) -> None:
        """A correction is on the budgets that pay for its line; it takes back no more units than there are."""
        with self.till.acting(), tenant_scope():
            lines = list(UsageRecord.objects.filter(corrects=None).order_by("id"))
            if not lines:
                return
            line = lines[number % len(lines)]
            units = UsageRecord.objects.filter(corrects=line.id).aggregate(units=Sum("quantity"))["units"] or 0
        cost = -cost if less else cost
        refused = not (quantity or cost) or line.quantity + units + quantity < 0
        try:
            with self.till.acting():
                row = correct(
                    corrects=line.id, quantity=quantity, cost=cost, provider_cost=None, reason="by the machine",
                    by=COMMAND_LINE, now=datetime.now(UTC),
                )  # fmt: skip
        except InvalidRequest:
            assert refused
            return
        assert not refused and (row.cost, row.quantity) == (cost, quantity)
        self.seen["corrections"] += 1
        self._push(Payer(line.key_id is not None, bool(line.tags)), cost)

    @invariant()
    def the_accounts_agree_with_the_model(self) -> None:
        """No hold goes beyond a hard limit; spent is what was charged, held is what is open; the ledger is what was
        charged."""
        self.seen["checks"] += 1
        with self.till.acting(), tenant_scope():
            accounts = {account.budget_id: account for account in BudgetAccount.objects.all()}
            ledger = UsageRecord.objects.aggregate(cost=Sum("cost", default=Decimal(0)))["cost"]
        assert ledger == sum(self.spent.values())
        assert set(accounts) <= set(self.budgets)
        for ident, budget in self.budgets.items():
            spent, held = self._used(budget)
            if ident in accounts:
                assert (accounts[ident].spent, accounts[ident].held) == (spent, held)
            else:
                assert spent == held == 0
            assert not budget.hard or spent + held <= budget.most

    def teardown(self) -> None:
        """When all calls have ended, nothing is held; tiers and allowance have no gap and nothing twice; of each attempt
        of each request one line leads."""
        for call in list(self.open):
            self.give_back(call)
        with self.till.acting(), tenant_scope():
            assert {account.held for account in BudgetAccount.objects.all()} <= {Decimal(0)}
            lines = UsageRecord.objects.filter(corrects=None)
            tiered = list(lines.filter(model=TIERED[0]).exclude(meter="unreconciled").order_by("tiered_from", "id"))
            attempts = lines.values("request_id", "attempt").annotate(leading=Count("id", filter=Q(leads=True)))
            assert {row["leading"] for row in attempts} <= {1}
        assert sum(row.included for row in tiered) == min(self.units, INCLUDED)
        above = [row for row in tiered if row.quantity > row.included]
        ends = [0, *(row.tiered_from + row.quantity - row.included for row in above)]
        assert [row.tiered_from for row in above] == ends[:-1] and ends[-1] == max(0, self.units - INCLUDED)
