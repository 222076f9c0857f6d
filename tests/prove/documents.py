"""Promise 13, documents: bombs are refused in time, no parser outgrows its memory, and the workers stay up.

Each is parsed here, where its time and memory can be its own; then all are sent through the running stack as a customer
would, where each must end failed with a reason, and another tenant's document must be done by the same worker processes.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

from knowledge.parsing import fork_server
from knowledge.parsing.documents import UnreadableFile
from knowledge.parsing.reading import parse
from tests.e2e.conftest import Tenant
from tests.knowledge import bombs
from tests.knowledge.resident import MEBIBYTE, watched
from tests.prove.ground import Ground, in_time
from tests.prove.verdict import Verdict, scaled

_MOST_SECONDS = 10.0  # on a machine of its own; where others want its processors too, it takes their turns longer
_MOST_BYTES = 512 * MEBIBYTE
_PATIENCE = 300.0  # for all of them in the stack, and for the neighbour's one


@dataclass
class Measured:
    """What the slowest and the largest took."""

    seconds: float = 0.0
    bytes: int = 0
    crowding: float = 1.0


def prove(ground: Ground) -> Verdict:
    """Here first, then there."""
    measured, violations = Measured(), []
    hostile = _share(bombs.REFUSED)
    for name, make in {**hostile, **_share(bombs.ENDURED)}.items():
        violations += _parsed(name, make(), measured, must_fail=name in hostile)
    fork_server.shut_down()
    violations += _sent(ground, hostile)
    figures = (
        f"{len(hostile)} bombs refused, {len(_share(bombs.ENDURED))} absurd files endured, the slowest in "
        f"{measured.seconds:.1f} s ({measured.crowding:.1f} processes a processor), at most "
        f"{measured.bytes // MEBIBYTE} MiB resident; workers up"
    )
    return Verdict(figures, violations)


def _share(made: dict[str, Callable[[], bytes]]) -> dict[str, Callable[[], bytes]]:
    return dict(list(made.items())[: scaled(len(made))])


def _parsed(name: str, data: bytes, measured: Measured, *, must_fail: bool) -> list[str]:
    with watched() as peak:
        started = time.monotonic()
        try:
            text = parse(data, name).text
            refused = False
        except UnreadableFile as error:
            text, refused = error.message, True
        seconds = time.monotonic() - started
    measured.seconds, measured.bytes = max(measured.seconds, seconds), max(measured.bytes, peak.bytes)
    violations = [f"{name} was read: {text[:60]!r}"] if must_fail and not refused else []
    crowding = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    measured.crowding = max(measured.crowding, crowding)
    violations += [f"{name} took {seconds:.1f} s"] if seconds > _MOST_SECONDS * crowding else []
    return violations + ([f"{name} took {peak.bytes // MEBIBYTE} MiB"] if peak.bytes > _MOST_BYTES else [])


def _sent(ground: Ground, hostile: dict[str, Callable[[], bytes]]) -> list[str]:
    before = _processes(ground)
    sender, neighbour = ground.new_tenant(), ground.new_tenant()
    store, attached = _store(sender), {}
    for name, make in hostile.items():
        if len(data := make()) < 60 * MEBIBYTE:  # a larger one is refused at the door
            attached[name] = _attach(sender, store, name, data)
    good = _attach(neighbour, place := _store(neighbour), "good.txt", b"The Anna lies at berth 4.")
    violations = [] if _ended(neighbour, place, [good]) else ["the neighbour's document was not done"]
    if not _ended(sender, store, list(attached.values())):
        violations.append("some bombs did not come to an end")
    for name, file in attached.items():
        found = sender.sdk().vector_stores.files.retrieve(file, vector_store_id=store)
        if found.status != "failed" or not (found.last_error and found.last_error.message):
            violations.append(f"{name} ended {found.status} without a reason")
    last = _attach(neighbour, place, "last.txt", b"The Juliana lies at berth 7.")
    if not _ended(neighbour, place, [last]) or _processes(ground) != before:
        violations.append("the workers did not outlive the bombs")
    return violations


def _processes(ground: Ground) -> dict[str, int]:
    return {name: process.pid for name, process in ground.stack.processes.items()}


def _store(tenant: Tenant) -> str:
    return tenant.sdk().vector_stores.create(name=f"s{uuid4().hex[:8]}").id


def _attach(tenant: Tenant, store: str, name: str, data: bytes) -> str:
    sdk = tenant.sdk(timeout=120)
    file = sdk.files.create(file=(name, data), purpose="assistants").id
    return sdk.vector_stores.files.create(store, file_id=file).id


def _ended(tenant: Tenant, store: str, files: list[str]) -> bool:
    sdk = tenant.sdk()

    def over() -> bool:
        states = [sdk.vector_stores.files.retrieve(file, vector_store_id=store).status for file in files]
        return "in_progress" not in states

    return in_time(over, seconds=_PATIENCE) is not None
