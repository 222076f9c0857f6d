"""Tiers and allowances at settlement, list prices and what providers take. Amounts by hand."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import orjson
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.models import Reservation, UnitCounts
from billing.prices import Allowance, UnitPrice
from billing.reservations import UsageLine, reserve_child, settle
from tenants.ids import uuid7
from tenants.scope import tenant_scope
from tests.billing.conftest import MODEL, Till
from tests.billing.test_charging import stored
from tests.billing.test_reservations import in_threads

IN, OUT = (MODEL, "input_tokens"), (MODEL, "output_tokens")
#: 3.00 a thousand, 2.00 from the 1,001st of the month on, 1.00 from the 5,001st on.
TIERS = ((1_000, Decimal(2)), (5_000, Decimal(1)))
TIERED = UnitPrice(uuid7(), *IN, Decimal(3), 1_000, tiers=TIERS)
FLAT = UnitPrice(uuid7(), *OUT, Decimal(10), 1_000)


def used(till, *lines, quote, hold="20"):
    """Settle lines of (model, meter, quantity, …); returns the rows."""
    reservation, _ = till.hold(hold, quote=quote)
    with till.acting():
        settle(reservation, [UsageLine(*line) if isinstance(line, tuple) else line for line in lines])
    return [row for row in till.ledger() if row.reservation_id == reservation]


def charged(row):
    return row.quantity, row.included, row.tiered_from, row.unit_price, row.cost


def test_each_unit_of_a_month_has_the_price_of_its_tier(till):
    quote = {IN: TIERED, OUT: FLAT}
    assert [charged(row) for row in used(till, (*IN, 800), (*OUT, 10), quote=quote)] == [
        (800, 0, 0, 3, Decimal("2.4")),
        (10, 0, None, 10, Decimal("0.1")),
    ]
    # 200 at 3 and 500 at 2; then 3,500 at 2 and 1,500 at 1; cached ones that have no price of their own count among them.
    assert [charged(row) for row in used(till, (*IN, 700), quote=quote)] == [(700, 0, 800, 3, Decimal("1.6"))]
    cached = UsageLine(MODEL, "cached_input_tokens", 1_000, 1, "input_tokens")
    assert [charged(row) for row in used(till, (*IN, 4_000), cached, quote=quote)] == [
        (4_000, 0, 1_500, 2, Decimal("7.5")),
        (1_000, 0, 5_500, 1, Decimal(1)),
    ]
    # Another month begins at the first tier.
    reservation, _ = till.hold("9", quote=quote)
    with till.acting(), tenant_scope():
        Reservation.objects.filter(id=reservation).update(period_start="2028-02-01", created_at="2028-02-29T12:00:00Z")
        settle(reservation, [UsageLine(*IN, 1_000)])
        assert dict(UnitCounts.objects.values_list("period_start__month", "units")) == {
            till.ledger()[0].period_start.month: {f"{MODEL} input_tokens": 6_500},
            2: {f"{MODEL} input_tokens": 1_000},
        }
    assert charged(till.ledger()[-1]) == (1_000, 0, 0, 3, Decimal(3))


def test_an_allowance_pays_first_and_is_shared_by_the_prices_that_name_it(till):
    budget, both = till.budget("1000"), Allowance(uuid7(), 1_000)
    quote = {
        IN: UnitPrice(uuid7(), *IN, Decimal(3), 1_000, tiers=TIERS, allowance=both),
        OUT: UnitPrice(uuid7(), *OUT, Decimal(10), 1_000, allowance=both),
    }
    assert [charged(row) for row in used(till, (*OUT, 600), quote=quote)] == [(600, 600, None, 10, 0)]
    # 400 are left: 300 of the first line and 100 of the second, whose other 1,200 are the tiers' first.
    assert [charged(row) for row in used(till, (*OUT, 300), (*IN, 1_300), quote=quote)] == [
        (300, 300, None, 10, 0),
        (1_300, 100, 0, 3, Decimal("3.4")),
    ]
    assert [charged(row) for row in used(till, (*IN, 10), (*OUT, 5), quote=quote)] == [
        (10, 0, 1_200, 2, Decimal("0.02")),
        (5, 0, None, 10, Decimal("0.05")),
    ]
    assert till.account(budget) == (Decimal("3.47"), 0)
    with till.acting(), tenant_scope():
        assert UnitCounts.objects.get().units == {str(both.id): 1_000, f"{MODEL} input_tokens": 1_210}


def test_units_count_though_their_cost_is_above_the_hold(till):
    quote = {IN: TIERED}
    (row,) = used(till, (*IN, 1_500), quote=quote, hold="1")
    assert (row.cost, row.variance) == (1, 3)
    assert [charged(row) for row in used(till, (*IN, 1), quote=quote)] == [(1, 0, 1_500, 2, Decimal("0.002"))]


def test_charges_without_a_hold_have_allowances_and_tiers_too(till):
    budget, meter = till.budget("1"), ("storage", "storage_byte_hours")
    price = UnitPrice(uuid7(), *meter, Decimal(4), 100, tiers=((50, Decimal(2)),), allowance=Allowance(uuid7(), 30))
    request = uuid7()
    assert stored(till, 100, request_id=request, quote={meter: price}) == Decimal("2.4")
    assert stored(till, 100, request_id=request, quote={meter: price}) is None
    assert charged(till.ledger()[0]) == (100, 30, 0, 4, Decimal("2.4"))
    assert till.account(budget) == (Decimal("2.4"), 0)


def test_lines_say_what_the_list_price_is_and_what_the_provider_takes(till):
    price = UnitPrice(
        uuid7(), *IN, Decimal(3), 1_000, allowance=Allowance(uuid7(), 100), list_amount=Decimal(4),
        provider_amount=Decimal("2.5"), provider_amounts={"aws.bedrock": Decimal("1.25")},
    )  # fmt: skip
    lines = (
        UsageLine(*IN, 100),
        UsageLine(*IN, 200, 2, provider="aws.bedrock"),
        UsageLine(*IN, 400, 3, provider="openai"),
    )
    rows = used(till, *lines, quote={IN: price})
    assert [(row.cost, row.list_cost, row.provider_cost, row.provider) for row in rows] == [
        (0, Decimal("0.4"), Decimal("0.25"), ""),
        (Decimal("0.6"), Decimal("0.8"), Decimal("0.25"), "aws.bedrock"),
        (Decimal("1.2"), Decimal("1.6"), Decimal(1), "openai"),
    ]
    (plain,) = used(till, (*OUT, 1), quote={OUT: FLAT})
    assert (plain.list_cost, plain.provider_cost) == (None, None)


def test_one_line_of_each_attempt_leads(till):
    hits = (MODEL, "cache_hits")
    quote = {IN: TIERED, OUT: FLAT, hits: UnitPrice(uuid7(), *hits, Decimal(0), 1)}
    lines = (*IN, 1), (*IN, 1, 2), (*OUT, 1), (*hits, 1, 3), (*hits, 1, 4), (*OUT, 1, 4), (*IN, 1, 4)
    rows = used(till, *lines, quote=quote)
    assert [row.leads for row in rows] == [True, True, False, False, False, True, False]
    # Another reservation of the same request: what it adds to an attempt leads nothing, a new attempt is led.
    call, _ = till.hold("10", quote=quote)
    part = uuid7()
    with till.acting():
        reserve_child(
            call, reservation_id=part, operation="part", hold=Decimal(1), quote=quote, lease=timedelta(minutes=1)
        )
        settle(part, [UsageLine(*IN, 1), UsageLine(*IN, 1, 2)])
        settle(call, [UsageLine(*OUT, 1), UsageLine(*OUT, 1, 3)])
    of_call = [(row.meter, row.attempt, row.leads) for row in till.ledger() if row.request_id == call]
    assert of_call == [
        ("input_tokens", 1, True), ("input_tokens", 2, True), ("output_tokens", 1, False), ("output_tokens", 3, True),
    ]  # fmt: skip


def test_costs_are_rounded_once_however_long_their_quotients(till):
    # 1.000000000000499996 is nearer to 1 than to 1.000000000001, though not once it is rounded to 16 digits.
    price = UnitPrice(uuid7(), *IN, Decimal("1000000.000000499996"), 1_000_000)
    assert [row.cost for row in used(till, (*IN, 1), quote={IN: price})] == [1]
    # A third of a twelfth digit is none; half of one is rounded away from zero.
    thirds = UnitPrice(uuid7(), *IN, Decimal(1), 3)
    assert [row.cost for row in used(till, (*IN, 2), quote={IN: thirds})] == [Decimal("0.666666666667")]
    halves = UnitPrice(uuid7(), *IN, Decimal("0.000000000001"), 2)
    assert [row.cost for row in used(till, (*IN, 1), quote={IN: halves})] == [Decimal("0.000000000001")]


amounts = st.decimals(min_value=0, max_value=10, places=6)
widths = st.integers(min_value=1, max_value=5_000)


@settings(suppress_health_check=list(HealthCheck), deadline=None)
@given(
    first=amounts, steps=st.lists(st.tuples(widths, amounts), max_size=5), before=st.integers(0, 20_000),
    parts=st.lists(st.integers(0, 10_000), min_size=1, max_size=4),
)  # fmt: skip
def test_parts_of_a_month_cost_what_the_whole_costs(db, first, steps, before, parts):
    tiers, since = [[0, str(first)]], 0
    for width, amount in steps:
        since += width
        tiers.append([since, str(amount)])

    def worth(start, units):
        with connection.cursor() as cursor:
            cursor.execute("SELECT worth FROM graduated(%s, %s, %s)", [orjson.dumps(tiers).decode(), start, units])
            return cursor.fetchone()[0]

    starts = [before + sum(parts[:n]) for n in range(len(parts) + 1)]
    # Unit by unit, in fractions: the price of a unit is that of the last tier that starts at or before it.
    bounds = [*((start, Fraction(amount)) for start, amount in tiers), (10**9, Fraction(0))]
    by_hand = sum(
        max(0, min(end, starts[-1]) - max(start, before)) * amount for (start, amount), (end, _) in pairwise(bounds)
    )
    assert sum(worth(start, units) for start, units in zip(starts, parts, strict=False)) == worth(before, sum(parts))
    assert Fraction(worth(before, sum(parts))) == by_hand


def test_settlements_at_once_share_out_a_month_without_gap_or_overlap(committed):
    till = Till(committed("acme").tenant.id)
    budget, shared = till.budget("1000"), Allowance(uuid7(), 500)
    quote = {IN: UnitPrice(uuid7(), *IN, Decimal(3), 1_000, tiers=TIERS, allowance=shared), OUT: FLAT}

    def call(n):
        for quantity in range(1, 16):
            if quantity % 3:
                used(till, (*IN, 20 * quantity + n), quote=quote)
            else:  # no hold, and two settlements in one transaction
                with till.acting(), tenant_scope():
                    stored(till, 0, lines=[UsageLine(*IN, 20 * quantity + n)], quote=quote)
                    used(till, (*OUT, 1), (*IN, 1), quote=quote)

    assert in_threads(4, call) == [None] * 4
    rows = sorted((row for row in till.ledger() if row.meter == IN[1]), key=lambda row: (row.tiered_from, row.id))
    units = sum(row.quantity for row in rows)
    ends = [row.tiered_from + row.quantity - row.included for row in rows]
    assert [row.tiered_from for row in rows if row.quantity > row.included][1:] == [
        end for row, end in zip(rows, ends, strict=True) if row.quantity > row.included
    ][:-1]
    assert (sum(row.included for row in rows), max(ends)) == (500, units - 500)
    # Graduated by hand: all of the first two tiers are used up.
    assert units > 5_500
    cost = Decimal(3) + Decimal(8) + Decimal(units - 5_500) / 1_000 + Decimal("0.2")
    assert till.account(budget) == (cost, 0) and sum(row.cost for row in till.ledger()) == cost
