"""Promise 7: streams whose clients leave at a random word: all settled, nothing held, no place kept, within a minute.

What was produced is paid, once; the model server is left alone soon after its reader has gone.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass

import httpx2
import orjson
import redis

from tests.e2e.conftest import Tenant
from tests.prove.ground import Ground, in_time
from tests.prove.upstream import DRIPS, SECONDS_A_DRIP
from tests.prove.verdict import Verdict, scaled

AT_ONCE = 64
SECONDS = 60
#: How long the server may go on for a reader that has gone.
_LEFT_ALONE = 5.0


@dataclass(frozen=True)
class Cut:
    """A stream that was left after `read` words; None: before it had begun."""

    question: str
    read: int | None


def prove(ground: Ground) -> Verdict:
    """Some leave before the first word, some read to the end."""
    tenant = ground.new_tenant(budget="100000")
    cuts = asyncio.run(_cut(ground, tenant, scaled(500)))
    idle = in_time(lambda: ground.upstream.under_way == 0, seconds=_LEFT_ALONE + DRIPS * SECONDS_A_DRIP)
    settled = in_time(lambda: _nothing_is_held(ground, tenant), seconds=SECONDS)
    violations = [*_books(ground, tenant, cuts)]
    if settled is None:
        violations.append(f"after {SECONDS} s something is still open or held")
    if idle is None:
        violations.append(f"the upstream still serves {ground.upstream.under_way} calls that nobody reads")
    left = Counter(_when(cut) for cut in cuts)
    told = ", ".join(f"{number} {when}" for when, number in sorted(left.items()))
    held = f"nothing held after {settled:.1f} s" if settled is not None else "something held for ever"
    return Verdict(f"{len(cuts)} streams left: {told}; {held}", violations)


def _when(cut: Cut) -> str:
    if cut.read is None:
        return "before the answer"
    return "at its end" if cut.read == DRIPS else "within it"


async def _cut(ground: Ground, tenant: Tenant, count: int) -> list[Cut]:
    free = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> Cut:
        async with free:
            return await _read(client, f"fault:drips cut-{number}", _somewhere())

    async with ground.client(tenant) as client:
        return await asyncio.gather(*(one(number) for number in range(count)))


def _somewhere() -> int | None:
    """One in ten leaves before the answer begins, one in ten reads all of it."""
    return random.choices([None, random.randrange(1, DRIPS), DRIPS], [1, 8, 1])[0]


async def _read(client: httpx2.AsyncClient, question: str, words: int | None) -> Cut:
    """Read so many words, and leave."""
    body = {
        "model": "fake",
        "messages": [{"role": "user", "content": question}],
        "max_tokens": 4 * DRIPS,
        "stream": True,
    }
    if words is None:
        asking = asyncio.create_task(client.post("/v1/chat/completions", json=body))
        await asyncio.sleep(random.uniform(0, 0.1))
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        return Cut(question, None)
    read = 0
    async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: {"):
                event = orjson.loads(line[6:])
                read += sum(bool(choice["delta"].get("content")) for choice in event["choices"])
            if read == words and words < DRIPS:
                break
    return Cut(question, read)


def _nothing_is_held(ground: Ground, tenant: Tenant) -> bool:
    """No reservation open, nothing held, no unit of work, and no place among the concurrent calls."""
    rows = ground.sql(
        "SELECT (SELECT count(*) FROM billing_reservation WHERE tenant_id = %s AND state = 'open'), "
        "(SELECT coalesce(sum(held), 0) FROM billing_budgetaccount WHERE tenant_id = %s), "
        "(SELECT count(*) FROM tenants_work WHERE tenant_id = %s)",
        tenant.id, tenant.id, tenant.id,
    )  # fmt: skip
    with redis.Redis.from_url(ground.stack.environment["REDIS_URL"]) as client:
        places = sum(client.zcard(key) for key in client.scan_iter(f"limits:*{tenant.id}*:calls"))
    return rows == [(0, 0, 0)] and places == 0


def _books(ground: Ground, tenant: Tenant, cuts: list[Cut]) -> list[str]:
    """Each call against its row: ended, each meter once, as many tokens as were read at least and sent at most."""
    rows = ground.sql(
        "SELECT g.request -> 'messages' -> -1 ->> 'content', g.state, r.state, r.hold, "
        "       (SELECT coalesce(jsonb_object_agg(u.meter, u.quantity), '{}') FROM billing_usagerecord u "
        "         WHERE u.tenant_id = g.tenant_id AND u.request_id = g.id), "
        "       (SELECT count(*) FROM billing_usagerecord u WHERE u.tenant_id = g.tenant_id AND u.request_id = g.id), "
        "       (SELECT coalesce(sum(u.cost), 0) FROM billing_usagerecord u "
        "         WHERE u.tenant_id = g.tenant_id AND u.request_id = g.id) "
        "FROM inference_generation g JOIN billing_reservation r ON r.tenant_id = g.tenant_id AND r.id = g.id "
        "WHERE g.tenant_id = %s",
        tenant.id,
    )
    calls = {question: rest for question, *rest in rows}
    problems = [f"{cut.question}: no row" for cut in cuts if cut.read is not None and cut.question not in calls]
    if len(calls) != len(rows):
        problems.append("a question has two rows")
    for cut in cuts:
        if cut.question in calls and (wrong := _wrong(cut, *calls[cut.question])):
            problems.append(f"{cut.question} ({cut.read} read): {wrong}")
    spent, held, _ = ground.accounts(tenant)
    if (ledger := sum(row[-1] for row in rows)) != spent or held:
        problems.append(f"the account has {spent} spent, {held} held; the ledger has {ledger}")
    return problems


def _wrong(cut: Cut, state: str, reservation: str, hold, used: dict[str, int], lines: int, cost) -> str:
    """What is wrong with one call; empty where nothing is."""
    told = f"{state}, {reservation}, {used}, {cost} of {hold}"
    if state not in ("cancelled", "completed") or reservation not in ("settled", "released") or cost > hold:
        return told
    if cut.read is None:
        return told if lines != len(used) else ""
    if lines != 2 or used.keys() != {"input_tokens", "output_tokens"}:
        return told
    # A word is two tokens by Atrium's own count, which stands where the upstream could not say; the upstream says two.
    if not cut.read <= used["output_tokens"] <= 2 * DRIPS:
        return told
    return told if cut.read == DRIPS and state != "completed" else ""
