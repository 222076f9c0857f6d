"""Promise 12: SIGTERM to the generation worker in the middle of calls, SIGKILL after 30 s.

Calls that can end in time are answered; the others end in a clean error; each is charged once.
"""

import asyncio
import signal
import subprocess
import time
from collections import Counter
from functools import partial

from tests.e2e.conftest import Tenant
from tests.prove.calls import Answer, ask, ask_in_background, examine
from tests.prove.ground import Ground
from tests.prove.verdict import Verdict, scaled

#: Seconds that the upstream takes, from the call; SIGTERM comes after one second, SIGKILL thirty later.
TAKES = (2, 4, 8, 12, 16, 45, 55)
GRACE = 30


def prove(ground: Ground) -> Verdict:
    """Plain and streamed calls and background responses of every length, at once."""
    tenant = ground.new_tenant(budget="1000")
    answers, seconds = asyncio.run(_stop_under(ground, tenant, scaled(4)))
    ground.settled(tenant, seconds=60)
    books = examine(ground, tenant, answers, stopped=True)
    violations = list(books.violations)
    for answer in answers:
        taken = float(answer.question.split()[1])
        if taken <= 16 and answer.code:
            violations.append(f"{answer.question}: could have ended in time, but the client read {answer.code}")
    outcomes = Counter(answer.code or "answered" for answer in answers)
    told = ", ".join(f"{number} {code}" for code, number in sorted(outcomes.items()))
    figures = f"{len(answers)} calls of {TAKES[0]}–{TAKES[-1]} s under SIGTERM: {told}; the worker ended after {seconds:.1f} s"
    return Verdict(figures, violations)


#: kind → how it is asked.
_KINDS = {"plain": ask, "stream": partial(ask, stream=True), "background": ask_in_background}


async def _stop_under(ground: Ground, tenant: Tenant, each: int) -> tuple[list[Answer], float]:
    """The answers, and how long the worker took to end."""
    async with ground.client(tenant, timeout=150) as client:
        asked = [
            asyncio.create_task(_KINDS[kind](client, f"fault:takes {seconds} stop-{kind}-{number}"))
            for seconds in TAKES
            for kind in _KINDS
            for number in range(each)
        ]
        async with asyncio.timeout(30):
            while ground.upstream.under_way < len(asked):
                await asyncio.sleep(0.01)
        started = time.monotonic()
        process = ground.kill("generation", signal.SIGTERM)
        try:
            await asyncio.to_thread(process.wait, GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)
        seconds = time.monotonic() - started
        return await asyncio.gather(*asked), seconds
