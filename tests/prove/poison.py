"""Promise 11: documents that kill what reads them, tried at most five times and said why; the others notice nothing.

Bombs and broken files kill or fill the parser's child, which is limited: the worker stays up, and the file fails with a
reason. For a document that kills the worker itself, the prover does it: whenever a unit of that document runs, the whole
ingestion worker is killed (-9), until the document is given up. One such document is short, one long, which is worked
on in parts. Meanwhile another tenant's documents come one after another, and each has to be searchable in time.
"""

import os
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import httpx2
import psutil

from tests.e2e.conftest import Tenant, eventually
from tests.knowledge.bombs import REFUSED
from tests.prove.ground import Ground
from tests.prove.verdict import Verdict

MOST_ATTEMPTS = 5
#: For a healthy document: a worker that was killed under it is back, its lease has run out, it is begun anew.
MOST_SECONDS = 30.0
_ENDED = ("completed", "failed", "cancelled")


def prove(ground: Ground) -> Verdict:
    """The bombs, then the worker's killers."""
    bombs, killers = _bombs(ground), _Killers(ground).prove()
    return Verdict(f"{bombs.figures}; {killers.figures}", [*bombs.violations, *killers.violations])


def _bombs(ground: Ground) -> Verdict:
    tenant = ground.new_tenant(budget="100")
    worker = ground.stack.processes["ingestion"]
    store = _attach(tenant, {name: make() for name, make in REFUSED.items()})
    rows = _ended(ground, tenant, seconds=240)
    violations = [
        f"{name}: {state}, {attempts} attempts" for name, state, attempts, _ in rows if attempts > MOST_ATTEMPTS
    ]
    violations += [
        f"{name} {state} without a reason" for name, state, _, said in rows if state == "failed" and not said
    ]
    violations += [f"{name} {state}" for name, state, _, _ in rows if state != "failed"]
    violations += [] if len(rows) == len(REFUSED) else [f"{len(REFUSED) - len(rows)} bombs of {store} never ended"]
    violations += [] if worker.poll() is None else ["a bomb killed the worker"]
    failed = sum(state == "failed" for _, state, _, _ in rows)
    most = max((attempts for _, _, attempts, _ in rows), default=0)
    return Verdict(f"{len(rows)} bombs, {failed} refused with a reason, at most {most} attempts", violations)


@dataclass
class _Killers:
    """Two documents that take the worker with them, and a tenant with healthy ones."""

    ground: Ground
    kills: int = 0
    waited: list[float] = field(default_factory=list)

    def prove(self) -> Verdict:
        """Until both are given up."""
        poisoned, healthy = self.ground.new_tenant(budget="100"), self.ground.new_tenant(budget="100")
        over = threading.Event()
        uploader = threading.Thread(target=self._keep_uploading, args=(healthy, over))
        uploader.start()
        try:
            for words in (6_000, 40_000):
                # One at a time, so that a death counts for one document only.
                _attach(poisoned, {f"poison-{words}.txt": _prose(words)})
                self._kill_until_ended(poisoned)
        finally:
            over.set()
            uploader.join()
        return self._verdict(poisoned, healthy)

    def _kill_until_ended(self, tenant: Tenant) -> None:
        """Kill the worker whenever a unit of the tenant's runs."""
        killed: set[tuple[Any, int]] = set()
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            running = self.ground.sql(
                # Begun only: the fence is that of the claim. What has not begun cannot be the killer.
                "SELECT w.id, w.attempt FROM tenants_work w "
                "LEFT JOIN knowledge_vectorstorefile a ON a.tenant_id = w.tenant_id AND a.id = w.id "
                "LEFT JOIN knowledge_ingestionpart p ON p.tenant_id = w.tenant_id AND p.id = w.id "
                "WHERE w.tenant_id = %s AND w.state = 'running' AND w.attempt = coalesce(a.claim, p.claim)",
                tenant.id,
            )
            if set(running) - killed:
                killed |= set(running)
                _kill_with_children(self.ground.stack.processes["ingestion"].pid)
                self.kills += 1
            if not running and self._all_ended(tenant):
                return
            time.sleep(0.02)

    def _all_ended(self, tenant: Tenant) -> bool:
        query = "SELECT count(*) FROM knowledge_vectorstorefile WHERE tenant_id = %s AND NOT state = ANY (%s)"
        return self.ground.sql(query, tenant.id, list(_ENDED)) == [(0,)]

    def _keep_uploading(self, tenant: Tenant, over: threading.Event) -> None:
        number = 0
        while not over.is_set():
            number += 1
            started = time.monotonic()
            _attach(tenant, {f"healthy-{number}.txt": f"The valve {number} opens at {number} bar.".encode()})
            try:
                eventually(lambda: self._all_ended(tenant), seconds=4 * MOST_SECONDS)
            finally:
                self.waited.append(time.monotonic() - started)

    def _verdict(self, poisoned: Tenant, healthy: Tenant) -> Verdict:
        rows = _ended(self.ground, poisoned, seconds=1)
        violations = [f"{name}: {state} after {tries} attempts" for name, state, tries, _ in rows if state != "failed"]
        violations += [f"{name}: {tries} attempts" for name, _, tries, _ in rows if tries > MOST_ATTEMPTS]
        violations += [f"{name}: no reason" for name, _, _, said in rows if "died" not in said]
        dead = self.ground.sql(
            "SELECT id, reason FROM tenants_work WHERE tenant_id = %s AND state = 'dead'", poisoned.id
        )
        violations += [f"{len(dead)} dead letters for 2 documents"] if len(dead) != 2 else []
        violations += [
            f"dead letter {ident} without a reason" for ident, reason in dead if "died" not in (reason or "")
        ]
        charged = self.ground.ledger(poisoned)
        violations += [f"given up, and charged {charged}"] if charged else []
        [(held,)] = self.ground.sql(
            "SELECT coalesce(sum(held), 0) FROM billing_budgetaccount WHERE tenant_id = %s", poisoned.id
        )  # no account at all where nothing was ever held
        violations += [f"{held} still held"] if held else []
        well = _ended(self.ground, healthy, seconds=1)
        violations += [f"{name}: {state}, {said}" for name, state, _, said in well if state != "completed"]
        violations += [f"a healthy document took {seconds:.0f} s" for seconds in self.waited if seconds > MOST_SECONDS]
        tries = ", ".join(str(attempts) for _, _, attempts, _ in rows)
        figures = (
            f"2 documents that kill the worker given up after {tries} attempts and {self.kills} kills; "
            f"{len(well)} healthy documents meanwhile, the slowest searchable after {max(self.waited, default=0):.1f} s"
        )
        return Verdict(figures, violations)


def _kill_with_children(pid: int) -> None:
    """The worker and what it forked, as the kernel does when memory runs out in its cgroup."""
    children = psutil.Process(pid).children(recursive=True) if psutil.pid_exists(pid) else []
    for victim in [pid, *(child.pid for child in children)]:
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it went with its parent


def _attach(tenant: Tenant, documents: dict[str, bytes]) -> str:
    """Upload into a new store; returns its id."""
    headers = {"authorization": f"Bearer {tenant.key}"}
    with httpx2.Client(base_url=tenant.url, headers=headers, timeout=60) as client:
        files = [
            client.post("/v1/files", files={"file": (name, content)}, data={"purpose": "assistants"})
            .raise_for_status()
            .json()["id"]
            for name, content in documents.items()
        ]
        return client.post("/v1/vector_stores", json={"file_ids": files}).raise_for_status().json()["id"]


def _ended(ground: Ground, tenant: Tenant, *, seconds: float) -> list[tuple[str, str, int, str]]:
    """(file name, state, attempts, reason) of a tenant's attachments that have ended, once all have or time is up."""
    query = (
        "SELECT f.filename, a.state, a.attempts, a.error_message FROM knowledge_vectorstorefile a "
        "JOIN knowledge_file f ON f.tenant_id = a.tenant_id AND f.id = a.file_id WHERE a.tenant_id = %s"
    )
    deadline = time.monotonic() + seconds
    while True:
        rows = ground.sql(query, tenant.id)
        ended = [row for row in rows if row[1] in _ENDED]
        if len(ended) == len(rows) or time.monotonic() > deadline:
            return ended
        time.sleep(0.1)


def _prose(words: int) -> bytes:
    """Long enough to be seen running."""
    return " ".join(f"Section {number} weighs {number * 7 % 997} grams." for number in range(words // 5)).encode()
