"""Promise 10: Redis, PostgreSQL, workers and the web tier are killed under ingestion, PostgreSQL is restarted under all.

No acknowledged job or write is lost, nothing is done twice, and service is back within ten seconds each time.
"""

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from uuid import uuid4

import httpx2

from tests.e2e.conftest import Tenant
from tests.prove.ground import Ground, in_time
from tests.prove.verdict import Verdict, scaled

MOST_SECONDS = 10.0
_PRODUCERS = 4
#: How often each part is killed under the jobs.
KILLS = {"redis": 5, "ingestion": 5, "web": 7, "beat": 2, "postgres": 1}
_UNDER_WAY = 4  # ingestions at once, by the worker's concurrency


def prove(ground: Ground) -> Verdict:
    """The jobs under kills, then the writes under restarts."""
    jobs, writes = _Jobs(ground, scaled(700, least=60)).prove(), _writes(ground)
    return Verdict(f"{jobs.figures}; {writes.figures}", [*jobs.violations, *writes.violations])


@dataclass
class _Jobs:
    """Producers upload and attach until each job is acknowledged; kills come evenly over the work."""

    ground: Ground
    count: int
    tenants: list[Tenant] = field(default_factory=list)
    acknowledged: dict[str, str] = field(default_factory=dict)
    resumed: list[float | None] = field(default_factory=list)
    tries: int = 0

    def prove(self) -> Verdict:
        """All of it."""
        self.tenants = [self.ground.new_tenant(budget="1000") for _ in range(2)]
        stores = [self._store(tenant) for tenant in self.tenants]
        numbers = iter(range(self.count))
        lock = threading.Lock()

        def produce() -> None:
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                self._post_job(number, self.tenants[number % 2], stores[number % 2])

        producers = [threading.Thread(target=produce, daemon=True) for _ in range(_PRODUCERS)]
        started = time.monotonic()
        for producer in producers:
            producer.start()
        self._kill_all()
        for producer in producers:
            producer.join()
        drained = in_time(lambda: self._work() == 0, seconds=180)
        violations = self._violations(drained)
        kills = ", ".join(f"{number} × {name}" for name, number in KILLS.items())
        resumed = ", ".join("never" if seconds is None else f"{seconds:.1f}" for seconds in self.resumed)
        return Verdict(
            f"{self.count} jobs in {time.monotonic() - started:.0f} s under kills ({kills}), {len(self.acknowledged)} "
            f"acknowledged after {self.tries} tries; resumed after Redis in {resumed} s",
            violations,
        )

    def _store(self, tenant: Tenant) -> str:
        return str(self.ground.post("/v1/vector_stores", tenant.key, {"name": "jobs"})["id"])

    def _post_job(self, number: int, tenant: Tenant, store: str) -> None:
        content = f"# Note {number}\n\nThe barrel number {number} in cellar {uuid4().hex} weighs {number} grams.\n"
        upload = {"files": {"file": (f"note-{number}.md", content.encode())}, "data": {"purpose": "assistants"}}
        file = self._insist(tenant, "/v1/files", **upload)
        self._insist(
            tenant, f"/v1/vector_stores/{store}/files", json={"file_id": file}, headers={"idempotency-key": file}
        )
        self.acknowledged[file] = tenant.id

    def _insist(self, tenant: Tenant, path: str, **request: Any) -> str:
        """Post until it is acknowledged, as a client with retries does; returns the object's id."""
        headers = {"authorization": f"Bearer {tenant.key}", **request.pop("headers", {})}
        deadline = time.monotonic() + 120
        told = ""
        while time.monotonic() < deadline:
            self.tries += 1
            try:
                answer = httpx2.post(f"{self.ground.stack.url}{path}", headers=headers, timeout=15, **request)
            except httpx2.TransportError as error:
                told = repr(error)
            else:
                if answer.status_code == 200:
                    return str(answer.json()["id"])
                told = answer.text
                if answer.status_code not in (409, 500, 502, 503):
                    break
            time.sleep(0.2)
        raise AssertionError(f"{path} was never acknowledged: {told}")

    def _kill_all(self) -> None:
        """One kill after another, each when its share of the jobs is done."""
        victims = [name for name, number in KILLS.items() for _ in range(number)]
        random.shuffle(victims)
        for number, victim in enumerate(victims):
            share = self.count * (number + 1) // (len(victims) + 4)
            in_time(lambda share=share: self._completed() >= share, seconds=60)
            if victim == "redis":
                self._kill_redis()
            elif victim == "postgres":
                self.ground.restart_postgres("immediate")
            else:
                self.ground.kill(victim, signal.SIGKILL).wait()

    def _kill_redis(self) -> None:
        self.ground.kill_redis(down=random.uniform(0.2, 1.5))
        done = self._completed()
        # More than were under way: what ends now was claimed after Redis was back.
        self.resumed.append(in_time(lambda: self._completed() > done + _UNDER_WAY, seconds=30))

    def _completed(self) -> int:
        ids = [tenant.id for tenant in self.tenants]
        query = (
            "SELECT count(*) FROM knowledge_vectorstorefile WHERE tenant_id = ANY (%s::uuid[]) AND state = 'completed'"
        )
        return int(self.ground.sql(query, ids)[0][0])

    def _work(self) -> int:
        ids = [tenant.id for tenant in self.tenants]
        return int(self.ground.sql("SELECT count(*) FROM tenants_work WHERE tenant_id = ANY (%s::uuid[])", ids)[0][0])

    def _violations(self, drained: float | None) -> list[str]:
        found = [f"consumption took {s} s to resume" for s in self.resumed if s is None or s > MOST_SECONDS]
        if drained is None:
            found.append(f"{self._work()} jobs were still queued after three minutes")
        if len(self.acknowledged) != self.count:
            found.append(f"{len(self.acknowledged)} of {self.count} jobs were acknowledged")
        ids = [tenant.id for tenant in self.tenants]
        rows = self.ground.sql(
            "SELECT a.file_id, a.state, a.error_message, a.chunk_count, "
            " (SELECT count(*) FROM knowledge_chunk c WHERE c.tenant_id = a.tenant_id AND c.store_file_id = a.id), "
            " (SELECT count(*) FROM knowledge_embedding e WHERE e.tenant_id = a.tenant_id AND e.store_file_id = a.id), "
            " (SELECT count(*) FROM knowledge_chunkterms k WHERE k.tenant_id = a.tenant_id AND k.store_file_id = a.id), "
            " (SELECT count(*) FROM billing_usagerecord u WHERE u.tenant_id = a.tenant_id AND u.request_id = a.id) "
            "FROM knowledge_vectorstorefile a WHERE a.tenant_id = ANY (%s::uuid[])",
            ids,
        )
        done = {f"file-{row[0].hex}": row[1:] for row in rows}
        found += [f"lost: {file}" for file in self.acknowledged if file not in done]
        found += [f"{file}: {row}" for file, row in done.items() if row != ("completed", "", 1, 1, 1, 1, 1)]
        counted = self.ground.sql(
            "SELECT s.chunk_count, (SELECT count(*) FROM knowledge_chunk c JOIN knowledge_vectorstorefile a "
            " ON a.tenant_id = c.tenant_id AND a.id = c.store_file_id WHERE a.store_id = s.id) "
            "FROM knowledge_vectorstore s WHERE s.tenant_id = ANY (%s::uuid[])",
            ids,
        )
        found += [
            f"a store counts {counter} chunks and has {chunks}" for counter, chunks in counted if counter != chunks
        ]
        for tenant in self.tenants:
            spent, held, _ = self.ground.accounts(tenant)
            [(ledger,)] = self.ground.sql("SELECT sum(cost) FROM billing_usagerecord WHERE tenant_id = %s", tenant.id)
            if spent != ledger or held != 0:
                found.append(f"{tenant.slug}: {spent} spent, {held} held, {ledger} in the ledger")
        return found


def _writes(ground: Ground) -> Verdict:
    """Clients write without a pause while PostgreSQL is restarted, once fast and once at once (a crash)."""
    tenant = ground.new_tenant(budget="1000")
    writers = {kind: _Writer(ground, tenant, kind) for kind in ("store", "chat")}
    with _writing(list(writers.values())):
        took = []
        for mode in ("fast", "immediate"):
            time.sleep(3)
            took.append(f"{mode} {ground.restart_postgres(mode):.1f} s")
            in_time(lambda: all(writer.is_back() for writer in writers.values()), seconds=30)
        time.sleep(2)
    violations = []
    for kind, writer in writers.items():
        if writer.longest_gap() > MOST_SECONDS:
            violations.append(f"no {kind} was acknowledged for {writer.longest_gap():.1f} s")
        violations += [f"acknowledged and lost: {kind} {one}" for one in writer.lost()]
        violations += [f"{kind}: {text}" for text in writer.strange]
    if in_time(lambda: _open_reservations(ground, tenant) == 0, seconds=60) is None:
        violations.append(f"{_open_reservations(ground, tenant)} reservations stayed open")
    gaps = ", ".join(f"{kind} {writer.longest_gap():.1f} s" for kind, writer in writers.items())
    acks = ", ".join(f"{len(writer.acknowledged)} {kind}s" for kind, writer in writers.items())
    return Verdict(f"PostgreSQL restarted ({', '.join(took)}): {acks} acknowledged, longest pause {gaps}", violations)


def _open_reservations(ground: Ground, tenant: Tenant) -> int:
    query = "SELECT count(*) FROM billing_reservation WHERE tenant_id = %s AND state = 'open'"
    return int(ground.sql(query, tenant.id)[0][0])


class _Writer:
    """Posts one kind of thing again and again and remembers what was acknowledged, and when."""

    def __init__(self, ground: Ground, tenant: Tenant, kind: str) -> None:
        self.ground, self.tenant, self.kind = ground, tenant, kind
        self.acknowledged: dict[str, float] = {}
        self.strange: Counter[str] = Counter()

    def write_until(self, stopped: Callable[[], bool]) -> None:
        """One write after another."""
        headers = {"authorization": f"Bearer {self.tenant.key}"}
        with httpx2.Client(base_url=self.ground.stack.url, headers=headers, timeout=15) as client:
            while not stopped():
                self._write(client)
                time.sleep(0.02)

    def _write(self, client: httpx2.Client) -> None:
        body: dict[str, Any] = {"name": "written"}
        if self.kind == "chat":
            body = {
                "model": "fake",
                "messages": [{"role": "user", "content": f"restart {uuid4().hex}"}],
                "max_tokens": 10,
            }
        try:
            answer = client.post("/v1/vector_stores" if self.kind == "store" else "/v1/chat/completions", json=body)
        except httpx2.TransportError as error:
            self.strange[f"no answer: {error!r}"] += 1
            return
        if answer.status_code == 200:
            self.acknowledged[answer.json()["id"]] = time.monotonic()
        elif answer.status_code not in (502, 503):
            self.strange[f"{answer.status_code} {answer.text[:150]}"] += 1

    def is_back(self) -> bool:
        """Whether something was acknowledged in the last half second."""
        return time.monotonic() - max(self.acknowledged.values(), default=0.0) < 0.5

    def longest_gap(self) -> float:
        """The longest pause between two acknowledgements, in seconds."""
        times = list(self.acknowledged.values())
        return max((later - earlier for earlier, later in pairwise(times)), default=float("inf"))

    def lost(self) -> set[str]:
        """What was acknowledged and is not there; a chat must also have its two lines in the ledger."""
        query = "SELECT replace(id::text, '-', '') FROM knowledge_vectorstore WHERE tenant_id = %s"
        if self.kind == "chat":
            query = (
                "SELECT replace(request_id::text, '-', '') FROM billing_usagerecord WHERE tenant_id = %s "
                "GROUP BY request_id HAVING count(*) = 2 AND sum(cost) = 0.017"
            )
        there = {row[0] for row in self.ground.sql(query, self.tenant.id)}
        return {one for one in self.acknowledged if one[-32:] not in there}


@contextmanager
def _writing(writers: list[_Writer]) -> Iterator[None]:
    done = threading.Event()
    threads = [threading.Thread(target=writer.write_until, args=[done.is_set], daemon=True) for writer in writers]
    for thread in threads:
        thread.start()
    yield
    done.set()
    for thread in threads:
        thread.join()
