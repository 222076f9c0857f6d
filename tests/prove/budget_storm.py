"""Promise 6, the storm: a thousand clients at once want what a budget pays for a hundred times, from two models of other
prices, some streamed, some given up by their client, while `kill -9` takes workers and Redis from under them.

Clients do what the SDK does: they come back where a budget is only held, or a part of the service is away, until they
are answered or the budget is spent. Each try asks another question, so that what the model server counted can be held
against the ledger, call by call. Calls of which nobody knows stand in it at their hold, until they are corrected to what
the server counted, as finance does by a provider's bill, while the storm goes on; in the end both must say the same to the
last digit.
"""

import asyncio
import random
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx2

from billing.corrections import correct
from tenants.audit import COMMAND_LINE
from tenants.scope import acting_for
from tests.e2e.conftest import Tenant
from tests.prove.calls import Answer, ask
from tests.prove.ground import Ground
from tests.prove.verdict import Verdict, scaled

#: Model → (its input's, its output's price per million tokens). The server says 7 and 10 of each whole answer.
PRICES = {"fake": (1000, 1000), "fake-dear": (2000, 5000)}
COSTS = {name: Decimal(7 * of_input + 10 * of_output) / 1_000_000 for name, (of_input, of_output) in PRICES.items()}
_PATIENCE = 120
_KILLS = 3
#: What a client may be answered; all but the first two are worth another try.
_FINAL = ("", "insufficient_quota", "left")
_AGAIN = (
    "budget_held",
    "worker_lost",
    "service_unavailable",
    "connection lost",
    "rate_limit_exceeded",
    "hold_gone",
    "answer_lost",
)


def storm(ground: Ground) -> Verdict:
    """A thousand clients, a budget for a hundred calls, half of each price."""
    clients = scaled(1000, least=40)
    budget = sum(COSTS.values(), Decimal(0)) * max(4, clients // 20)
    ground.manage(
        "register_model", "--name", "fake-dear", "--base-url", ground.upstream.url, "--input-price", "2000",
        "--output-price", "5000", "--context-window", "8000", "--max-output-tokens", "1000",
    )  # fmt: skip
    tenant = ground.new_tenant(budget=str(budget), grants=("fake-dear",))
    ground.sql(
        "INSERT INTO billing_limitoverride (tenant_id, id, \"limit\", value, valid_from) SELECT %s, uuidv7(), l, 0, now() "
        "FROM unnest(%s::text[]) l RETURNING id",
        tenant.id, ["requests_per_minute", "tokens_per_minute", "concurrent_calls"],
    )  # fmt: skip
    with _watched(ground, tenant) as most, _reconciled(ground, tenant) as corrected:
        answers, kills = asyncio.run(_rage(ground, tenant, clients))
        ground.settled(tenant, seconds=60)
    return _verdict(ground, tenant, answers, kills, most, corrected)


@contextmanager
def _watched(ground: Ground, tenant: Tenant) -> Iterator[list[Decimal]]:
    """The most that was spent and held above the limit, as seen many times a second; in a list of one."""
    most, done = [Decimal(0)], threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            for spent, held, limit in [ground.accounts(tenant)] if _opened(ground, tenant) else []:
                most[0] = max(most[0], spent + held - limit)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield most
    finally:
        done.set()
        thread.join()


@contextmanager
def _reconciled(ground: Ground, tenant: Tenant) -> Iterator[dict[str, Decimal]]:
    """Correct what nobody knows to what the server counted, now and then and at the end; question → what stood there."""
    corrected: dict[str, Decimal] = {}
    done = threading.Event()

    def work() -> None:
        while not done.wait(0.2):
            _reconcile(ground, tenant, corrected)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield corrected
    finally:
        done.set()
        thread.join()
    _reconcile(ground, tenant, corrected)


def _opened(ground: Ground, tenant: Tenant) -> bool:
    return bool(ground.sql("SELECT 1 FROM billing_budgetaccount WHERE tenant_id = %s", tenant.id))


async def _rage(ground: Ground, tenant: Tenant, clients: int) -> tuple[list[Answer], int]:
    """All clients at once, and what kills; returns each client's last answer, and how often it killed."""
    kills: list[float] = []
    many = httpx2.Limits(max_connections=clients)
    async with ground.client(tenant, limits=many) as client:
        tasks = [asyncio.create_task(_insist(client, number)) for number in range(clients)]
        killing = asyncio.create_task(_kill(ground, most=clients // 10, kills=kills))
        answers = await asyncio.gather(*tasks)
        killing.cancel()
        [broken] = await asyncio.gather(killing, return_exceptions=True)
    if isinstance(broken, Exception):
        raise broken
    return list(answers), len(kills)


async def _insist(client: httpx2.AsyncClient, number: int) -> Answer:
    """Ask until there is an answer, or no use in asking; one client in five loses patience within its first try."""
    model, stream = random.choice(list(PRICES)), number % 3 == 0
    deadline = asyncio.get_running_loop().time() + _PATIENCE
    for attempt in range(1_000):
        question = f"fault:takes {random.uniform(0, 0.2):.3f} storm-{number}-{attempt}"
        asking = asyncio.create_task(ask(client, question, stream=stream, model=model))
        if number % 5 == 0:
            await asyncio.wait([asking], timeout=random.uniform(0, 1))
            if not asking.done():
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
                return Answer(question, 0, "left")
        answer = await asking
        if answer.code not in _AGAIN or asyncio.get_running_loop().time() > deadline:
            return answer
        await asyncio.sleep(random.uniform(1, 2))
    return answer


async def _kill(ground: Ground, *, most: int, kills: list[float]) -> None:
    """After each fifth of the `most` calls that the budget pays for: a worker with some of them under way, then Redis."""
    before = len(ground.upstream.bodies)
    for kill in range(1, _KILLS + 1):
        while len(ground.upstream.bodies) - before < most * kill / 5 or not ground.upstream.under_way:
            await asyncio.sleep(0.002)
        process = ground.kill("generation", signal.SIGKILL)
        kills.append(asyncio.get_running_loop().time())
        await asyncio.to_thread(process.wait)
        await asyncio.sleep(random.uniform(0, 1))
        await asyncio.to_thread(ground.kill_redis, down=0.3)


@dataclass(frozen=True)
class _Call:
    """A call as the database has it: `cost` is the sum of its lines, `line` the id of one of them."""

    question: str
    model: str
    state: str
    reservation: str
    hold: Decimal
    meters: list[str]
    cost: Decimal
    line: UUID | None


def _calls(ground: Ground, tenant: Tenant) -> list[_Call]:
    rows = ground.sql(
        "SELECT g.request #>> '{messages,-1,content}', g.model, g.state, r.state, r.hold, "
        "       array(SELECT u.meter FROM billing_usagerecord u "
        "              WHERE u.tenant_id = r.tenant_id AND u.request_id = g.id ORDER BY u.meter), "
        "       (SELECT coalesce(sum(u.cost), 0) FROM billing_usagerecord u "
        "         WHERE u.tenant_id = r.tenant_id AND u.request_id = g.id), "
        "       (SELECT u.id FROM billing_usagerecord u WHERE u.tenant_id = r.tenant_id AND u.request_id = g.id LIMIT 1) "
        "FROM inference_generation g JOIN billing_reservation r ON r.tenant_id = g.tenant_id AND r.id = g.id "
        "WHERE g.tenant_id = %s",
        tenant.id,
    )
    return [_Call(*row) for row in rows]


def _verdict(
    ground: Ground,
    tenant: Tenant,
    answers: list[Answer],
    kills: int,
    most: list[Decimal],
    corrected: dict[str, Decimal],
) -> Verdict:
    served, calls = ground.upstream.served(), _calls(ground, tenant)
    wrong = [told for call in calls if (told := _wrong(call, served[call.question], corrected))]
    known = {call.question for call in calls}
    wrong += [
        f"{question}: served, but there is no row"
        for question in served
        if "storm-" in question and question not in known
    ]
    by_question = {call.question: call for call in calls}
    for answer in answers:
        if answer.code not in _FINAL or not (answer.clean or answer.code == "left"):
            wrong.append(f"{answer.question}: the client's last answer is {answer.code or 'cut short'}")
        if answer.code == "" and by_question[answer.question].reservation != "settled":
            wrong.append(f"{answer.question}: answered, but {by_question[answer.question].reservation}")
    lost = len(wrong)
    if not kills:
        wrong.append("the storm was over before anything was killed")
    wrong += _sums(ground, tenant, _calls(ground, tenant), served)
    spent, held, limit = ground.accounts(tenant)
    overspend = max(most[0], spent + held - limit, Decimal(0))
    if overspend:
        wrong.append(f"overspent by {overspend}")
    ended = Counter(f"{call.reservation}" for call in calls)
    said = Counter(answer.code or "answered" for answer in answers)
    told = ", ".join(f"{number} {what}" for what, number in sorted(said.items()))
    figures = (
        f"{len(answers)} clients at once for {limit / sum(COSTS.values()) * 2:.0f} calls' money, {kills} times kill -9 of "
        f"worker and Redis: {told}; {len(calls)} calls admitted ({', '.join(f'{n} {s}' for s, n in sorted(ended.items()))}), "
        f"{spent:.3f} of {limit:.3f} spent after {ended['unknown']} corrections"
    )
    return Verdict(figures, wrong, {"budget.race.overspend": float(overspend), "budget.race.lost": lost})


def _wrong(call: _Call, served: int, corrected: dict[str, Decimal]) -> str:
    """What is wrong with one call; empty where nothing is. `corrected` is what its line said before."""
    told = f"{call.question}: {call.state}, {call.reservation}, {call.meters}, {call.cost}, served {served} times"
    match call.reservation:
        case "settled" if call.state == "completed":
            right = served == 1 and call.cost == COSTS[call.model] and call.meters == ["input_tokens", "output_tokens"]
        case "settled":
            # Its client left: what was read and said until then, by our own count.
            right = served == 1 and call.state == "cancelled" and 0 < call.cost <= call.hold
        case "unknown":
            right = served <= 1 and set(call.meters) == {"unreconciled"} and corrected.get(call.question) == call.hold
        case "released":
            right = served == 0 and call.meters == []
        case _:
            right = False
    return "" if right else told


def _reconcile(ground: Ground, tenant: Tenant, corrected: dict[str, Decimal]) -> None:
    served = ground.upstream.served()
    for call in _calls(ground, tenant):
        if call.reservation != "unknown" or call.question in corrected:
            continue
        corrected[call.question] = call.cost
        actual = COSTS[call.model] if served[call.question] else Decimal(0)
        with acting_for(UUID(tenant.id)):
            correct(
                corrects=call.line, quantity=0 if served[call.question] else -1, cost=actual - call.hold,
                provider_cost=None, reason="the model server's own count", by=COMMAND_LINE, now=datetime.now(UTC),
            )  # fmt: skip


def _sums(ground: Ground, tenant: Tenant, calls: list[_Call], served: Any) -> list[str]:
    """Ledger = Σ costs = spent = what the server counted (of calls that were not given up), and nothing is held."""
    wrong = []
    whole = [call for call in calls if call.state != "cancelled"]
    counted = sum((COSTS[call.model] * served[call.question] for call in whole), Decimal(0))
    if (ledger := sum((call.cost for call in whole), Decimal(0))) != counted:
        wrong.append(f"the server counted {counted}, the ledger has {ledger}")
    every = sum((call.cost for call in calls), Decimal(0))
    [(rows, still_open)] = ground.sql(
        "SELECT (SELECT sum(cost) FROM billing_usagerecord WHERE tenant_id = %s), "
        "(SELECT count(*) FROM billing_reservation WHERE tenant_id = %s AND state = 'open')",
        tenant.id, tenant.id,
    )  # fmt: skip
    spent, held, _ = ground.accounts(tenant)
    if not every == rows == spent:
        wrong.append(f"calls cost {every}, the ledger has {rows}, the account {spent}")
    if held or still_open:
        wrong.append(f"{held} held, {still_open} reservations open")
    return wrong
