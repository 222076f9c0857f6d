"""Promise 4: two tenants take turns on one connection, and no transaction is open while a provider is called.

Web and both workers run with a database pool of one, so every request and task of one tenant borrows what the other
gave back a moment ago. The provider's calls are sampled in `pg_stat_activity` while the upstream holds them.
"""

import asyncio
import os
from collections import Counter
from typing import Any
from uuid import uuid4

import httpx2
import psycopg

from tests.e2e.conftest import eventually
from tests.prove.calls import ask
from tests.prove.furniture import Furnished, furnish
from tests.prove.ground import Ground
from tests.prove.verdict import Verdict, scaled

_PROCESSES = ("web", "generation", "ingestion")
_AT_ONCE = 4
_HELD_CALLS, _HELD_SECONDS = 48, 6
#: A transaction that has been open for so long spans the calls, which are held for longer; Atrium's own take moments.
_LONG = 1.0


def prove(ground: Ground) -> Verdict:
    """On processes restarted with a pool of one, and back to the usual pool at the end."""
    pair = [furnish(ground, f"{name}{uuid4().hex[:8]}") for name in ("acme", "globex")]
    ground.restart(_PROCESSES, DATABASE_POOL_SIZE="1")
    try:
        turns = asyncio.run(_turns(ground, pair, scaled(1000)))
        held = asyncio.run(_held_calls(ground, pair))
    finally:
        del ground.stack.environment["DATABASE_POOL_SIZE"]
        ground.restart(_PROCESSES)
    return Verdict(f"{turns.figures}; {held.figures}", [*turns.violations, *held.violations])


async def _turns(ground: Ground, pair: list[Furnished], count: int) -> Verdict:
    done: Counter[str] = Counter()
    violations: list[str] = []
    free = asyncio.Semaphore(_AT_ONCE)
    async with ground.client(pair[0].tenant) as acme, ground.client(pair[1].tenant) as globex:

        async def one(number: int) -> None:
            turn, own, other = (acme, *pair) if number % 2 == 0 else (globex, *reversed(pair))
            kind = _KINDS[number // 2 % len(_KINDS)]
            async with free:
                answer = await kind(turn, own, other)
            done[f"{kind.__name__.strip('_').replace('_', ' ')}"] += 1
            if other.mark in answer.text:
                violations.append(f"{kind.__name__}: {own.mark} read {other.mark}")
            elif answer.status_code != (404 if kind is _foreign_store else 200):
                violations.append(f"{kind.__name__}: {answer.status_code} {answer.text[:200]}")
            elif kind is not _foreign_store and own.mark not in answer.text:
                violations.append(f"{kind.__name__}: {own.mark} did not read its own: {answer.text[:200]}")

        await asyncio.gather(*(one(number) for number in range(count)))
    await asyncio.to_thread(_ingested, ground, pair)
    for own, other in (pair, reversed(pair)):
        [(strays,)] = ground.sql(
            "SELECT count(*) FROM knowledge_chunk WHERE tenant_id = %s AND text LIKE %s", own.id, f"%{other.mark}%"
        )
        violations += [f"{own.mark} has a chunk of {other.mark}"] * strays
    told = ", ".join(f"{number} {kind}" for kind, number in sorted(done.items()))
    return Verdict(f"{count} turns on one connection: {told}", violations)


def _ingested(ground: Ground, pair: list[Furnished]) -> None:
    """Wait for the ingestion tasks of both."""
    waiting = "SELECT count(*) FROM tenants_work WHERE tenant_id = ANY (%s::uuid[]) AND state <> 'dead'"
    eventually(lambda: ground.sql(waiting, [one.id for one in pair]) == [(0,)], seconds=180)


async def _chat(client: httpx2.AsyncClient, own: Furnished, other: Furnished) -> httpx2.Response:
    tools = [{"type": "file_search", "vector_store_ids": [own.ids["store_id"]]}]
    messages = [{"role": "user", "content": "What is the codeword of the vault?"}]
    return await client.post(
        "/v1/chat/completions", json={"model": "local-extractive", "messages": messages, "tools": tools}
    )


async def _search(client: httpx2.AsyncClient, own: Furnished, other: Furnished) -> httpx2.Response:
    return await client.post(f"/v1/vector_stores/{own.ids['store_id']}/search", json={"query": "codeword"})


async def _file_list(client: httpx2.AsyncClient, own: Furnished, other: Furnished) -> httpx2.Response:
    return await client.get("/v1/files")


async def _foreign_store(client: httpx2.AsyncClient, own: Furnished, other: Furnished) -> httpx2.Response:
    return await client.get(f"/v1/vector_stores/{other.ids['store_id']}")


async def _ingestion(client: httpx2.AsyncClient, own: Furnished, other: Furnished) -> httpx2.Response:
    content = f"# Note\n\nNote {uuid4().hex} of {own.mark}.\n".encode()
    form: dict[str, Any] = {"files": {"file": (f"{own.mark}.md", content)}, "data": {"purpose": "assistants"}}
    file = await client.post("/v1/files", **form)
    if file.status_code != 200:
        return file
    return await client.post("/v1/vector_stores", json={"name": own.mark, "file_ids": [file.json()["id"]]})


_KINDS = (_chat, _search, _file_list, _foreign_store, _ingestion)


async def _held_calls(ground: Ground, pair: list[Furnished]) -> Verdict:
    """Sample the database's sessions while the upstream holds calls of both tenants, streamed ones too."""
    open_transactions: set[tuple[Any, ...]] = set()
    samples, most = 0, 0
    async with ground.client(pair[0].tenant) as acme, ground.client(pair[1].tenant) as globex:
        calls = [
            asyncio.create_task(
                ask((acme, globex)[n % 2], f"fault:takes {_HELD_SECONDS} held-{n} {uuid4()}", stream=n % 4 < 2)
            )
            for n in range(_HELD_CALLS)
        ]
        url = os.environ["SUPERUSER_DATABASE_URL"]
        async with await psycopg.AsyncConnection.connect(url, dbname="atrium", autocommit=True) as connection:
            while not all(call.done() for call in calls):
                if ground.upstream.under_way:
                    found = await connection.execute(
                        "SELECT pid, xact_start, state, left(query, 80) FROM pg_stat_activity WHERE usename LIKE 'atrium_%%' "
                        "AND xact_start < clock_timestamp() - make_interval(secs => %s)",
                        [_LONG],
                    )
                    open_transactions |= {row[:2] + row[3:] for row in await found.fetchall()}
                    samples, most = samples + 1, max(most, ground.upstream.under_way)
                await asyncio.sleep(0.02)
        answers = await asyncio.gather(*calls)
    violations = [f"a transaction stayed open during calls: {row}" for row in open_transactions]
    violations += [f"{answer.question}: {answer.code or 'cut short'}" for answer in answers if answer.words != 10]
    return Verdict(f"{samples} samples while the upstream held up to {most} calls", violations)
