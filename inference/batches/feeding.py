"""Feeding: lines become rows, and rows become generations, a window at a time.

So a batch of 50,000 lines holds a few hundred reservations at once, and its file is read as it goes. Each step can run
twice: rows are unique by their number, the cursor moves in the transaction that writes them, and a line is admitted in
the transaction that says so.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import orjson
from django.db.models import F, Q

from billing.reservations import BudgetHeld
from tenants.api_keys import Caller, TenantSuspended, caller_of_key
from tenants.errors import AtriumError, PermissionDenied
from tenants.ids import uuid7
from tenants.scope import tenant_scope

from ..calls import Admission
from ..generations import Replay, admit_all
from ..models import Batch, BatchLine
from .admitting import admission_of_line
from .input_file import unread_lines
from .lines import RawLine, read_line

MOST_ATTEMPTS = 4
_AT_ONCE = 32
_MOST_BYTES = 16 * 1024 * 1024
State = BatchLine.State


def feed(batch: Batch, *, window: int, now: datetime, check: Callable[[], None]) -> bool:
    """Have up to `window` lines under way; False where a budget or a service must come free first.

    Args:
        check: called now and then; what it raises ends the step.

    Raises:
        InputGone: the file was deleted.
        StorageUnavailable: try again.
    """
    caller = caller_for(batch, now=now)
    if isinstance(caller, TenantSuspended):
        return False
    while True:
        lines, room, later = _due(batch, window, now)
        for start in range(0, len(lines), _AT_ONCE):
            check()
            if not _admit(batch, lines[start : start + _AT_ONCE], caller, now=now):
                return False
        if len(lines) >= room or later >= window or not read_ahead(batch, most=room - len(lines)):
            return True


def _due(batch: Batch, window: int, now: datetime) -> tuple[list[BatchLine], int, int]:
    """(the lines to be admitted now, for how many there is room, how many more wait for their time)."""
    with tenant_scope():
        rows = BatchLine.objects.filter(batch=batch)
        room = max(window - rows.filter(state=State.QUEUED).count(), 0)
        waiting = rows.filter(state=State.WAITING)
        due = waiting.filter(Q(not_before=None) | Q(not_before__lte=now))
        lines = list(due.order_by("number")[:room])
        return lines, room, waiting.count() - len(lines)


def caller_for(batch: Batch, *, now: datetime) -> Caller | AtriumError:
    """The key that made the batch, with the groups it had then; or what its lines are refused with."""
    try:
        caller = caller_of_key(key_id=batch.key_id, now=now)
        if "inference" not in caller.scopes:
            raise PermissionDenied("The API key that made the batch lacks the scope 'inference'.")
    except AtriumError as error:
        return error
    return replace(caller, groups=frozenset(batch.groups), limited=bool(batch.groups))


def _admit(batch: Batch, lines: Sequence[BatchLine], caller: Caller | AtriumError, *, now: datetime) -> bool:
    """Queue lines, or fail them; False where some must wait for what will come free, and with them all that follow."""
    wanted: list[tuple[BatchLine, Admission]] = []
    for line in lines:
        try:
            if isinstance(caller, AtriumError):
                raise caller
            wanted.append((line, admission_of_line(batch, line, caller=caller, now=now)))
        except AtriumError as error:
            _refuse(line, error, now=now)
    held = False
    for (line, _), result in zip(wanted, admit_all([admission for _, admission in wanted]), strict=True):
        if isinstance(result, BudgetHeld):
            held = True
        elif isinstance(result, AtriumError):
            _refuse(line, result, now=now)
        elif isinstance(result, Exception) and not isinstance(result, Replay):
            raise result
    return not held


def _refuse(line: BatchLine, error: AtriumError, *, now: datetime) -> None:
    """The line has failed; where a part of the service is away, after a few tries, further and further apart."""
    with tenant_scope():
        waiting = BatchLine.objects.filter(id=line.id, state=State.WAITING)
        if error.status == 503 and line.attempts + 1 < MOST_ATTEMPTS:
            again = now + timedelta(seconds=5 * 3**line.attempts)
            waiting.update(not_before=again, attempts=F("attempts") + 1)
        else:
            waiting.update(state=State.FAILED, answer=error.body(), status=error.status)


def read_ahead(batch: Batch, *, most: int) -> int:
    """Give rows to the next `most` lines at most, and move the batch's cursor; returns how many, 0 at the file's end.

    Raises:
        InputGone, StorageUnavailable: as `feed`.
    """
    raws = _some(batch, most)
    # Where nothing was found, what is left of the file is blank.
    line = raws[-1].number + 1 if raws else batch.next_line
    byte = raws[-1].end if raws else batch.input_bytes
    lines = [read_line(raw, endpoint=batch.endpoint) for raw in raws]
    with tenant_scope() as tenant_id:
        mine = Batch.objects.filter(id=batch.id, next_byte=batch.next_byte, state=Batch.State.IN_PROGRESS)
        if not mine.update(next_line=line, next_byte=byte):
            return 0
        BatchLine.objects.bulk_create(
            BatchLine(
                id=uuid7(), tenant_id=tenant_id, batch=batch, number=line.number, custom_id=line.custom_id,
                body=orjson.dumps(line.body),
            )
            for line in lines
        )  # fmt: skip
    batch.next_line, batch.next_byte = line, byte
    return len(raws)


def _some(batch: Batch, most: int) -> list[RawLine]:
    """The next lines: up to `most` of them, and up to some megabytes."""
    found: list[RawLine] = []
    size = 0
    for raw in unread_lines(batch):
        found.append(raw)
        size += len(raw.data)
        if len(found) >= most or size >= _MOST_BYTES:
            break
    return found
