"""Promise 18: a batch of 50,000 lines, its workers killed four times and Redis twice: each line once, billed once.

A line that was with the model when its worker died is asked again, for nobody knows its answer: the platform bears that,
and the tenant pays for the line once. One that had ended is never repeated.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator

import openai
from openai.types import Batch

from tests.e2e.conftest import Tenant, eventually
from tests.prove.ground import Ground
from tests.prove.verdict import Verdict, scaled

LINES = 50_000
KILLS = ("generation", "redis", "generation", "generation", "redis", "generation")
#: Under way at once at most (`inference.batches.driving`), so as many may be asked again after a kill.
WINDOW = 1000


def prove(ground: Ground) -> Verdict:
    """Kill at equal distances, and compare output, ledger and what the model was asked."""
    tenant = ground.new_tenant(budget="10000")
    sdk, lines = tenant.sdk(timeout=120, max_retries=5), scaled(LINES, least=200)
    started = time.monotonic()
    batch = _start(sdk, lines)
    for at, victim in zip(_marks(lines), KILLS, strict=True):
        _await_lines(ground, tenant, at)
        if victim == "redis":
            ground.kill_redis(down=1.0)
        else:
            ground.kill(victim).wait()
    done = eventually(lambda: _ended(sdk, batch), seconds=120 + lines / 20)
    seconds = time.monotonic() - started
    ground.settled(tenant, seconds=60)
    again = sum(count - 1 for question, count in ground.upstream.served().items() if question.startswith("batch "))
    figures = (
        f"{lines} lines under {len(KILLS)} kills in {seconds:.0f} s ({lines / seconds:.0f} a second); "
        f"{again} asked again, for their workers had died"
    )
    return Verdict(figures, [*_violations(ground, tenant, sdk, done, lines), *_repeated(again)])


def _start(sdk: openai.OpenAI, lines: int) -> Batch:
    calls = (
        {
            "custom_id": str(number),
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {
                "model": "fake",
                "messages": [{"role": "user", "content": f"batch {number}"}],
                "max_tokens": 20,
            },
        }
        for number in range(lines)
    )
    content = b"".join(json.dumps(call).encode() + b"\n" for call in calls)
    file = sdk.files.create(file=("calls.jsonl", content), purpose="batch")
    return sdk.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"of": "a proof"}
    )


def _marks(lines: int) -> Iterator[int]:
    return (lines * part // (len(KILLS) + 1) for part in range(1, len(KILLS) + 1))


def _await_lines(ground: Ground, tenant: Tenant, number: int) -> None:
    query = "SELECT count(*) FROM inference_generation WHERE tenant_id = %s AND state = 'completed'"
    eventually(lambda: ground.sql(query, tenant.id)[0][0] >= number, seconds=60 + number / 20)


def _ended(sdk: openai.OpenAI, batch: Batch) -> Batch | None:
    found = sdk.batches.retrieve(batch.id)
    return found if found.status in ("completed", "failed", "expired", "cancelled") else None


def _violations(ground: Ground, tenant: Tenant, sdk: openai.OpenAI, done: Batch, lines: int) -> Iterator[str]:
    counts = done.request_counts
    if done.status != "completed" or counts is None or (counts.completed, counts.failed) != (lines, 0):
        yield f"the batch ended as {done.status} with {counts}, errors {done.errors}"
        return
    assert done.output_file_id is not None
    answered = Counter(
        json.loads(line)["custom_id"] for line in sdk.files.content(done.output_file_id).text.splitlines()
    )
    for number in range(lines):
        if answered[str(number)] != 1:
            yield f"line {number} stands {answered[str(number)]} times in the output"
    billed = "SELECT count(DISTINCT request_id), count(*), sum(quantity) FROM billing_usagerecord WHERE tenant_id = %s"
    if ground.sql(billed, tenant.id) != [(lines, 2 * lines, 17 * lines)]:
        yield f"the ledger has {ground.sql(billed, tenant.id)[0]} (lines, rows, tokens), not one bill a line"
    spent, held, _ = ground.accounts(tenant)
    [(cost,)] = ground.sql("SELECT sum(cost) FROM billing_usagerecord WHERE tenant_id = %s", tenant.id)
    if spent != cost or held:
        yield f"the budget says {spent} spent and {held} held, the ledger {cost}"


def _repeated(again: int) -> Iterator[str]:
    most = WINDOW * KILLS.count("generation")
    if again > most:
        yield f"{again} lines were asked again; no more than {most} were under way when their workers died"
