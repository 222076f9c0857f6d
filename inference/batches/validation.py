"""Validation of an input file: one pass over its lines, which are not kept. Memory holds the custom ids only."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .lines import BadLine, Line, RawLine, cut, read_line

MAX_LINES = 50_000
MOST_ERRORS = 100


@dataclass
class Report:
    """What validation found: `errors` (the first of them) or `total` lines; their model, where all name the same."""

    total: int = 0
    model: str = ""
    errors: list[dict[str, Any]] = field(default_factory=list)


def validate(read: Callable[[int], bytes], *, endpoint: str, check: Callable[[], None]) -> Report:
    """Read the whole file, from `read` as `lines.cut` wants it.

    Args:
        check: called now and then; what it raises ends the pass.
    """
    report, seen, models = Report(), set[str](), set[Any]()
    for found in _read_all(read, endpoint):
        if report.total % 500 == 0:
            check()
        if isinstance(found, Line):
            if found.custom_id in seen:
                message = f"The custom_id '{found.custom_id}' stands on an earlier line too."
                found = BadLine(found.number, "duplicate_custom_id", message, "custom_id")
            else:
                seen.add(found.custom_id)
                report.total += 1
                if len(models) < 2:
                    models.add(str(found.body.get("model", "")))
        if isinstance(found, BadLine):
            report.errors.append(found.as_json())
        if report.total > MAX_LINES:
            report.errors.append(_error("too_many_requests", f"A batch has at most {MAX_LINES:,} lines."))
        if len(report.errors) >= MOST_ERRORS or report.total > MAX_LINES:
            break
    if not report.total and not report.errors:
        report.errors.append(_error("empty_file", "The input file has no lines."))
    report.model = models.pop()[:200] if len(models) == 1 else ""
    return report


def _read_all(read: Callable[[int], bytes], endpoint: str) -> Iterator[Line | BadLine]:
    lines = cut(read)
    while True:
        try:
            raw: RawLine | None = next(lines, None)
        except BadLine as error:
            yield error
            return
        if raw is None:
            return
        try:
            yield read_line(raw, endpoint=endpoint)
        except BadLine as error:
            yield error


def _error(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "line": None, "message": message, "param": "input_file_id"}
