"""What the state machine of money knows to be true: a few numbers, kept beside the database and unlike it."""

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from uuid import UUID

#: 50,000 units a month cost nothing; then a million cost 5.00, from the 60,001st on 2.50, from the 200,001st on 1.25.
INCLUDED = 50_000
TIERS = ((0, Decimal(5)), (60_000, Decimal("2.5")), (200_000, Decimal("1.25")))


@dataclass(frozen=True)
class Payer:
    """Whose calls they are: of the key or of none, with the tag or without."""

    keyed: bool
    tagged: bool


@dataclass(frozen=True)
class Call:
    """A call under way: what it holds, for whom, and whether its price has tiers."""

    held: Decimal
    payer: Payer
    tiered: bool


@dataclass(frozen=True)
class Part:
    """A part of a call under way; `sent`: its provider was called."""

    held: Decimal
    call: UUID
    sent: bool


@dataclass
class Limit:
    """A budget. `most` is what it can have spent and held: its limit, or what was there already or came without a hold."""

    of: str
    limit: Decimal
    hard: bool
    most: Decimal = Decimal(0)

    def covers(self, payer: Payer) -> bool:
        """Whether it pays for it."""
        return {"tenant": True, "key": payer.keyed, "tag": payer.tagged}[self.of]


@dataclass
class Books:
    """A tenant's calls under way, what was spent by whom, and budgets."""

    calls: dict[UUID, Call] = field(default_factory=dict)
    parts: dict[UUID, Part] = field(default_factory=dict)
    spent: Counter[Payer] = field(default_factory=Counter)
    budgets: dict[UUID, Limit] = field(default_factory=dict)
    #: Units with tiers that were settled.
    units: int = 0

    def used(self, budget: Limit) -> tuple[Decimal, Decimal]:
        """(spent, held) of a budget."""
        spent = [amount for payer, amount in self.spent.items() if budget.covers(payer)]
        calls = [call.held for call in self.calls.values() if budget.covers(call.payer)]
        parts = [part.held for part in self.parts.values() if budget.covers(self.calls[part.call].payer)]
        return sum(spent, Decimal(0)), sum((*calls, *parts), Decimal(0))

    def most_of(self, hold: Decimal, payer: Payer) -> Decimal:
        """What the hard budgets above a payer have left of a hold."""
        above = [budget for budget in self.budgets.values() if budget.hard and budget.covers(payer)]
        return min((hold, *(budget.limit - sum(self.used(budget)) for budget in above)))

    def set_limit(self, ident: UUID, budget: Limit) -> None:
        """A budget is made, or has another limit."""
        budget.most = max(budget.limit, sum(self.used(budget)))
        self.budgets[ident] = budget

    def push(self, payer: Payer, cost: Decimal) -> None:
        """What was not held before is spent, though it may be above a limit."""
        self.spent[payer] += cost
        for budget in self.budgets.values():
            if budget.covers(payer):
                budget.most += max(cost, Decimal(0))

    def end(self, call: UUID, charged: Decimal) -> None:
        """A call ends, and with it what is open of its parts: those that were dispatched are charged at their holds."""
        for ident in [ident for ident, part in self.parts.items() if part.call == call]:
            part = self.parts[ident]
            self.end_part(ident, part.held if part.sent else Decimal(0))
        self.spent[self.calls.pop(call).payer] += charged

    def end_part(self, ident: UUID, charged: Decimal) -> None:
        """A part of a call under way ends."""
        self.spent[self.calls[self.parts.pop(ident).call].payer] += charged

    def worth_of_next(self, units: int) -> Decimal:
        """Count units with tiers; what they cost is the price of the tier in which each of them lies."""
        first, last = (max(0, count - INCLUDED) for count in (self.units, self.units + units))
        self.units += units
        ends = [*(start for start, _ in TIERS[1:]), last]
        within = [max(0, min(end, last) - max(start, first)) for (start, _), end in zip(TIERS, ends, strict=True)]
        return sum((count * amount / 1_000_000 for count, (_, amount) in zip(within, TIERS, strict=True)), Decimal(0))
