"""Calls, tokens, costs and how fast, over a period: the figures and charts of Home, for a tenant or the whole platform."""

from collections.abc import Iterable
from dataclasses import dataclass

from billing.charts import cost_chart, labels_of, tokens_chart, total_cost
from billing.figures import count, duration, money, share
from billing.periods import Period
from billing.spending import Spent, spent_over_time
from inference.call_sums import Calls, calls_over_time
from tenants.desk.charts import Chart, Series


@dataclass(frozen=True)
class Figure:
    """One number, what it is, and what more there is to say."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Overview:
    """Figures of the whole period, and charts over its buckets."""

    figures: list[Figure]
    charts: list[Chart]
    calls: int


def overview_of(period: Period, *, currency: str) -> Overview:
    """What the current tenant (or, as staff, everybody) called and spent. `currency`: where nothing was spent."""
    spent = spent_over_time(period)
    width = "hour" if period.width == "1h" else "day"
    calls = calls_over_time(start=period.start, end=period.end, width=width)
    spends = [spent.get(start, Spent()) for start in period.buckets]
    called = [calls.get(start, Calls()) for start in period.buckets]
    labels = labels_of(period)
    whole = sum(called, Calls())
    charts = [
        _requests(labels, called),
        cost_chart(period, spends, currency),
        tokens_chart(period, spends),
        _latency(labels, called),
    ]
    return Overview(_figures(whole, spends, currency), charts, whole.total)


def _figures(calls: Calls, spends: Iterable[Spent], currency: str) -> list[Figure]:
    spends = list(spends)
    read, written = sum(one.read for one in spends), sum(one.written for one in spends)
    return [
        Figure("Requests", count(calls.total), _cancelled(calls)),
        Figure("Tokens", count(read + written), f"{count(read)} read, {count(written)} written"),
        Figure("Cost", money(total_cost(spends), currency), "without taxes"),
        Figure("Error rate", share(calls.error_share), f"{calls.failed:,} failed"),
        Figure("Latency p95", duration(calls.seconds_at(0.95)), f"median {duration(calls.seconds_at(0.5))}"),
    ]


def _cancelled(calls: Calls) -> str:
    cancelled = calls.by_state["cancelled"]
    return f"{cancelled:,} of them cancelled" if cancelled else "chat, responses, embeddings"


def _requests(labels: list[str], called: list[Calls]) -> Chart:
    states = (("Completed", "completed", "1"), ("Failed", "failed", "bad"), ("Cancelled", "cancelled", "quiet"))
    series = [
        Series(name, [one.by_state[state] for one in called], [f"{one.by_state[state]:,}" for one in called], colour)
        for name, state, colour in states
        if state == "completed" or any(one.by_state[state] for one in called)
    ]
    return Chart("Requests", labels, series)


def _latency(labels: list[str], called: list[Calls]) -> Chart:
    series = []
    for name, part, colour in (("p95", 0.95, "1"), ("Median", 0.5, "quiet")):
        seconds = [one.seconds_at(part) for one in called]
        series.append(Series(name, seconds, [duration(value) for value in seconds], colour))
    return Chart("Latency in seconds, until the last word of the answer", labels, series, kind="line")
