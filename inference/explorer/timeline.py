"""How a call's time went: what waited for what, in milliseconds from its arrival."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..models import Generation, InferenceAttempt

_STEPS = {"screening": "Safety screens on the request", "search": "Search in documents", "embedding": "Embedding"}
#: Steps shorter than this say nothing.
_LEAST_MS = 0.5


@dataclass(frozen=True)
class Span:
    """Something that took time. `left` and `width` are percents of the whole, for drawing it."""

    label: str
    at_ms: float
    ms: float
    note: str = ""
    failed: bool = False
    left: float = 0.0
    width: float = 0.0


def total_ms(row: Generation) -> float | None:
    """From arrival to end; None while it runs."""
    return None if row.finished_at is None else _between(row.created_at, row.finished_at)


def spans_of(row: Generation, attempts: Iterable[InferenceAttempt]) -> list[Span]:
    """What is known of it, in the order of time."""
    whole = max(total_ms(row) or 0.0, 0.001)
    found = sorted((*_steps(row), *_asked(row, attempts)), key=lambda span: span.at_ms)
    return [_drawn(span, whole) for span in found]


def _steps(row: Generation) -> Iterator[Span]:
    trace: dict[str, Any] = row.trace or {}
    if "began_at" not in trace:
        return
    began = _between(row.created_at, datetime.fromisoformat(trace["began_at"]))
    yield Span("Waiting for its turn", 0.0, began)
    for step in trace.get("steps") or ():
        if step["ms"] >= _LEAST_MS:
            yield Span(_STEPS.get(step["step"], step["step"]), began + step["at_ms"], step["ms"])


def _asked(row: Generation, attempts: Iterable[InferenceAttempt]) -> Iterator[Span]:
    for attempt in attempts:
        note = f"first token after {attempt.ttft_ms:,.0f} ms" if attempt.ttft_ms is not None else ""
        at_ms = _between(row.created_at, attempt.started_at)
        label = f"{attempt.model} ({attempt.deployment})"
        yield Span(label, at_ms, attempt.latency_ms, attempt.code or note, failed=bool(attempt.code))


def _between(since: datetime, until: datetime) -> float:
    return max(0.0, (until - since).total_seconds() * 1000)


def _drawn(span: Span, whole: float) -> Span:
    left = min(100.0, span.at_ms / whole * 100)
    width = max(0.5, min(100.0 - left, span.ms / whole * 100))
    return Span(span.label, span.at_ms, span.ms, span.note, span.failed, round(left, 2), round(width, 2))
