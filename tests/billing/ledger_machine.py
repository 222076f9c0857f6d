"""A state machine over reserve, dispatch, settle, release and expire, of calls and their parts, over charges without a
hold, corrections, and budgets that come, change and go, with the invariants of money.

Its own books are a few numbers; the database must agree with them after every step. The suite runs a few hundred steps
of it; the machine is a module of its own so that a longer proof can import it.
"""

from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count, Q, Sum
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, precondition, rule

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
from tests.billing.books import INCLUDED, TIERS, Books, Call, Limit, Part, Payer
from tests.billing.conftest import QUOTE, Till, tokens
from tests.conftest import make_member

amounts = st.decimals(min_value=0, max_value=Decimal("0.7"), places=12)
limits = st.decimals(min_value=0, max_value=2, places=2)
counts = st.integers(min_value=0, max_value=40_000)
yes_or_no = st.booleans()
TAG = ("team", "red")
_MOST_BUDGETS = 5
#: (spent, held) by budget, and what the ledger has without one, in a single look: there is one after every step.
_USED = """
    SELECT budget_id, spent, held FROM billing_budgetaccount
    UNION ALL SELECT NULL, coalesce(sum(cost), 0), 0 FROM billing_usagerecord"""
TIERED = ("tiered", "input_tokens")
STORAGE = ("storage", "storage_byte_hours")
STORED = {STORAGE: UnitPrice(uuid7(), *STORAGE, Decimal(2), 1_000_000)}


class LedgerMachine(RuleBasedStateMachine):
    """One tenant with a budget of 1.00, of it one key, whose calls have a tag, with 0.50."""

    open_calls: Bundle[UUID] = Bundle("open_calls")
    parts: Bundle[UUID] = Bundle("parts")
    #: What happened, in all machines of the process.
    seen: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.seen["machines"] += 1
        self.till = Till(make_member(f"t-{uuid7().hex[-12:]}").tenant.id)
        # One scope for all steps, which the domain's own scopes join: most of a step's time would be theirs.
        self.scope = ExitStack()
        self.scope.enter_context(self.till.acting())
        self.scope.enter_context(tenant_scope())
        self.key = ApiKey.objects.get().id
        ApiKey.objects.update(tags=dict([TAG]))
        price = UnitPrice(
            uuid7(), *TIERED, TIERS[0][1], 1_000_000, tiers=TIERS[1:], allowance=Allowance(uuid7(), INCLUDED)
        )
        self.tiered = {TIERED: price}
        self.books = Books()
        self.attempts = 1
        self.charged: list[UUID] = []
        self._set_budget(Limit("tenant", Decimal(1), hard=True))
        self._set_budget(Limit("key", Decimal("0.5"), hard=True))

    def _set_budget(self, budget: Limit, *, period: str = "month") -> None:
        made = set_budget(
            name=uuid7().hex, limit=budget.limit, hard=budget.hard, period=period, by=COMMAND_LINE,
            key_id=self.key if budget.of == "key" else None, tag=TAG if budget.of == "tag" else None,
        )  # fmt: skip
        self.books.set_limit(made.id, budget)
        self.seen["budgets set"] += 1

    @precondition(lambda self: len(self.books.budgets) < _MOST_BUDGETS)
    @rule(
        of=st.sampled_from(["tenant", "key", "tag"]), limit=limits, hard=yes_or_no,
        period=st.sampled_from(["month", "total"]),
    )  # fmt: skip
    def new_budget(self, of: str, limit: Decimal, hard: bool, period: str) -> None:
        """A budget counts what was spent of its period before it was set, and what is held."""
        self._set_budget(Limit(of, limit, hard), period=period)

    @rule(data=st.data(), limit=limits)
    def change_budget(self, data: st.DataObject, limit: Decimal) -> None:
        """Another limit holds from the next call on."""
        ident = data.draw(st.sampled_from(list(self.books.budgets)))
        change_budget(budget_id=ident, limit=limit, by=COMMAND_LINE)
        before = self.books.budgets[ident]
        self.books.set_limit(ident, Limit(before.of, limit, before.hard))

    @precondition(lambda self: len(self.books.budgets) > 2)
    @rule(data=st.data())
    def remove_budget(self, data: st.DataObject) -> None:
        """Without a budget its calls go on; the ledger stays."""
        ident = data.draw(st.sampled_from(list(self.books.budgets)))
        delete_budget(budget_id=ident, by=COMMAND_LINE)
        del self.books.budgets[ident]

    @rule(
        target=open_calls, hold=amounts, least=amounts, of_key=yes_or_no, expired=yes_or_no, tiered=yes_or_no,
        sent=yes_or_no,
    )  # fmt: skip
    def reserve(self, hold: Decimal, least: Decimal, of_key: bool, expired: bool, tiered: bool, sent: bool) -> Any:
        """A hold is granted exactly where every hard budget has the least left, and is all that they have of the wish."""
        least, payer = min(least, hold), Payer(of_key, of_key)
        expected = self.books.most_of(hold, payer)
        try:
            with transaction.atomic():
                call, held = self.till.hold(
                    str(hold), at_least=str(least), key_id=self.key if of_key else None,
                    lease=timedelta(seconds=-1) if expired else timedelta(hours=1),
                    quote=self.tiered if tiered else QUOTE,
                )  # fmt: skip
        except (BudgetExhausted, BudgetHeld):
            assert expected < least
            self.seen["refusals"] += 1
            return multiple()
        assert held == expected >= least
        self.seen["holds"] += 1
        self.books.calls[call] = Call(held, payer, tiered)
        if sent:
            dispatched(call)
        return call

    @rule(call=consumes(open_calls), input_tokens=counts, output_tokens=counts)
    def settle(self, call: UUID, input_tokens: int, output_tokens: int) -> None:
        """The cost is what the tokens are worth, or the hold; nothing where the call ended before."""
        under_way = self.books.calls.get(call)
        if under_way and under_way.tiered:
            lines, worth = [UsageLine(*TIERED, input_tokens)], self.books.worth_of_next(input_tokens)
        else:
            lines = tokens(input_tokens, output_tokens)
            worth = Decimal("0.0000025") * input_tokens + Decimal("0.00001") * output_tokens
        cost = settle(call, lines)
        if under_way is None:
            assert cost is None
            return
        assert cost == min(worth, under_way.held)
        self.seen["settlements"] += 1
        self.books.end(call, cost)

    @rule(hold=amounts, of_key=yes_or_no, tiered=yes_or_no, input_tokens=counts, output_tokens=counts)
    def reserve_and_settle(
        self, hold: Decimal, of_key: bool, tiered: bool, input_tokens: int, output_tokens: int
    ) -> None:
        """Most calls end soon."""
        if isinstance(call := self.reserve(hold, Decimal(0), of_key, False, tiered, True), UUID):
            self.settle(call, input_tokens, output_tokens)

    @rule(call=consumes(open_calls))
    def give_back(self, call: UUID) -> None:
        """A release costs nothing."""
        release(call)
        if call in self.books.calls:
            self.books.end(call, Decimal(0))

    @rule(target=parts, call=open_calls, hold=amounts, least=amounts, sent=yes_or_no)
    def reserve_part(self, call: UUID, hold: Decimal, least: Decimal, sent: bool) -> Any:
        """A part holds on its call's budgets what they have left, while the call is open; afterwards nothing."""
        least, ident, of = min(least, hold), uuid7(), self.books.calls.get(call)
        expected = self.books.most_of(hold, of.payer) if of else None
        try:
            with transaction.atomic():
                held = reserve_child(
                    call, reservation_id=ident, operation="part", hold=hold, hold_min=least, quote=QUOTE,
                    lease=timedelta(hours=1),
                )  # fmt: skip
        except HoldGone:
            assert of is None
            return multiple()
        except (BudgetExhausted, BudgetHeld):
            assert expected is not None and expected < least
            return multiple()
        assert held == expected
        self.seen["parts"] += 1
        self.books.parts[ident] = Part(held, call, sent)
        if sent:
            dispatched(ident)
        return ident

    @rule(part=consumes(parts), output_tokens=counts)
    def settle_part(self, part: UUID, output_tokens: int) -> None:
        """A part costs what it used, or its hold; nothing where it ended with its call."""
        self.attempts += 1
        cost = settle(part, tokens(0, output_tokens, attempt=self.attempts))
        if part not in self.books.parts:
            assert cost is None
            return
        assert cost == min(Decimal("0.00001") * output_tokens, self.books.parts[part].held)
        self.books.end_part(part, cost)

    @precondition(lambda self: self.books.calls)
    @rule()
    def expire(self) -> None:
        """The sweep ends what is past its lease: dispatched calls at their hold, the others at nothing."""
        under_way = Reservation.objects.filter(id__in=list(self.books.calls))
        sent = dict(under_way.values_list("id", "dispatched_at"))
        settle_expired()
        after = dict(under_way.all().values_list("id", "state"))
        for call, state in after.items():
            assert state in ("open", "unknown" if sent[call] else "released")
            if state != "open":
                self.seen[state] += 1
                self.books.end(call, self.books.calls[call].held if sent[call] else Decimal(0))

    @rule(of_key=yes_or_no, tagged=yes_or_no, units=counts, again=yes_or_no)
    def charge(self, of_key: bool, tagged: bool, units: int, again: bool) -> None:
        """What no hold preceded is charged whatever the limits, and once."""
        request = self.charged[0] if again and self.charged else uuid7()
        cost = charge_spend(
            request_id=request, operation="storage", lines=[UsageLine(*STORAGE, units)], quote=STORED, currency="USD",
            at=datetime.now(UTC), key_id=self.key if of_key else None, tags=dict([TAG]) if tagged else {},
        )  # fmt: skip
        if request in self.charged or not units:
            assert cost is None
            return
        assert cost == units * Decimal("0.000002")
        self.seen["charges"] += 1
        self.charged.append(request)
        self.books.push(Payer(of_key, tagged), cost)

    @rule(number=st.integers(min_value=0), quantity=st.integers(-40_000, 40_000), cost=amounts, less=yes_or_no)
    def correct(self, number: int, quantity: int, cost: Decimal, less: bool) -> None:
        """A correction is on the budgets that pay for its line; it takes back no more units than there are."""
        lines = list(UsageRecord.objects.filter(corrects=None).order_by("id"))
        if not lines:
            return
        line = lines[number % len(lines)]
        units = UsageRecord.objects.filter(corrects=line.id).aggregate(units=Sum("quantity", default=0))["units"]
        cost = -cost if less else cost
        refused = not (quantity or cost) or line.quantity + units + quantity < 0
        try:
            row = correct(
                corrects=line.id, quantity=quantity, cost=cost, provider_cost=None, reason="by the machine",
                by=COMMAND_LINE, now=datetime.now(UTC),
            )  # fmt: skip
        except InvalidRequest:
            assert refused
            return
        assert not refused and (row.cost, row.quantity) == (cost, quantity)
        self.seen["corrections"] += 1
        self.books.push(Payer(line.key_id is not None, bool(line.tags)), cost)

    @invariant()
    def the_accounts_agree_with_the_books(self) -> None:
        """No hold goes beyond a hard limit; spent is what was charged, held is what is open; the ledger is what was
        charged."""
        self.seen["checks"] += 1
        with connection.cursor() as cursor:
            cursor.execute(_USED)
            accounts = {ident: (spent, held) for ident, spent, held in cursor.fetchall()}
        assert accounts.pop(None) == (sum(self.books.spent.values()), 0)
        assert set(accounts) <= set(self.books.budgets)
        for ident, budget in self.books.budgets.items():
            used = self.books.used(budget)
            assert accounts.get(ident, (0, 0)) == used
            assert not budget.hard or sum(used) <= budget.most

    def teardown(self) -> None:
        """When all calls have ended, nothing is held; tiers and allowance have no gap and nothing twice; of each attempt
        of each request one line leads."""
        with self.scope:
            for call in list(self.books.calls):
                self.give_back(call)
            assert {account.held for account in BudgetAccount.objects.all()} <= {Decimal(0)}
            lines = UsageRecord.objects.filter(corrects=None)
            tiered = list(lines.filter(model=TIERED[0]).exclude(meter="unreconciled").order_by("tiered_from", "id"))
            attempts = lines.values("request_id", "attempt").annotate(leading=Count("id", filter=Q(leads=True)))
            assert {row["leading"] for row in attempts} <= {1}
        assert sum(row.included for row in tiered) == min(self.books.units, INCLUDED)
        above = [row for row in tiered if row.quantity > row.included]
        ends = [0, *(row.tiered_from + row.quantity - row.included for row in above)]
        assert [row.tiered_from for row in above] == ends[:-1] and ends[-1] == max(0, self.books.units - INCLUDED)
