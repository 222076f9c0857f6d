"""Promise 6: one budget, raced by 64 clients and then by a thousand, is never overspent; workers killed with -9 lose and
double nothing.
"""

import asyncio
import random
import signal
from collections import Counter

from tests.prove.budget_storm import storm
from tests.prove.calls import COST, Answer, ask, ask_all, examine
from tests.prove.ground import Ground
from tests.prove.verdict import Verdict, scaled

CLIENTS = 64
_CALLS_A_KILL = 8


def prove(ground: Ground) -> Verdict:
    """The race, then the kills, then both at once."""
    race, kills = _race(ground), asyncio.run(_kills(ground, scaled(50, least=2)))
    raging = storm(ground)
    figures = f"{race.figures}; {kills.figures}; {raging.figures}"
    return Verdict(figures, [*race.violations, *kills.violations, *raging.violations], raging.metrics)


def _race(ground: Ground) -> Verdict:
    """The budget pays for three quarters of what is asked."""
    asked = scaled(3200, least=CLIENTS)
    tenant = ground.new_tenant(budget=str(COST * asked * 3 / 4))
    before = sum(ground.upstream.calls.values())
    answers = asyncio.run(ask_all(ground, tenant, [f"race {number}" for number in range(asked)], clients=CLIENTS))
    ground.settled(tenant)
    calls = sum(ground.upstream.calls.values()) - before
    books = examine(ground, tenant, answers)
    outcomes = Counter(answer.code or "answered" for answer in answers)
    violations = list(books.violations)
    if books.ledger != calls * COST:
        violations.append(f"the upstream served {calls} calls, worth {calls * COST}; the ledger has {books.ledger}")
    if strange := set(outcomes) - {"answered", "insufficient_quota", "budget_held"}:
        violations.append(f"answers that a budget does not explain: {strange}")
    if not 0.7 * asked < outcomes["answered"] <= 0.75 * asked:
        violations.append(f"{outcomes['answered']} of {asked} answered; the budget pays for {0.75 * asked}")
    spent, held, limit = ground.accounts(tenant)
    told = ", ".join(f"{number} {code}" for code, number in sorted(outcomes.items()))
    figures = f"{asked} requests by {CLIENTS} clients: {told}; {spent:.3f} spent of {limit:.3f}, {held:.0f} held"
    return Verdict(figures, violations)


async def _kills(ground: Ground, kills: int) -> Verdict:
    """`kill -9` the generation worker around the moment in which the upstream answers the calls that it holds."""
    tenant = ground.new_tenant(budget="1000")
    pending: list[asyncio.Task[Answer]] = []
    async with ground.client(tenant) as client:
        for number in range(kills):
            questions = [f"fault:takes 30 kill-{number}-{call}" for call in range(_CALLS_A_KILL)]
            pending += [asyncio.create_task(ask(client, question)) for question in questions]
            await _until_held(ground, _CALLS_A_KILL)
            # One time in three before the upstream has answered: between call and settlement in the widest sense.
            if number % 3:
                ground.upstream.release.set()
                await asyncio.sleep(random.uniform(0, 0.06))
            process = ground.kill("generation", signal.SIGKILL)
            await asyncio.to_thread(process.wait)
            ground.upstream.release.set()
            await _until_held(ground, 0)
            ground.upstream.release.clear()
        answers = await asyncio.gather(*pending)
    await asyncio.to_thread(ground.settled, tenant, seconds=60)
    books = examine(ground, tenant, answers)
    told = ", ".join(f"{number} {state}" for state, number in sorted(books.ended.items()))
    return Verdict(f"{kills} kill -9 with {len(answers)} calls under way: {told}", books.violations)


async def _until_held(ground: Ground, calls: int) -> None:
    """Wait until the upstream holds exactly so many calls."""
    async with asyncio.timeout(60):
        while ground.upstream.under_way != calls:
            await asyncio.sleep(0.005)
