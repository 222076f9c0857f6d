"""Chat calls made in numbers, each with a mark of its own, and what the books say about each afterwards."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx2
import orjson

from tests.e2e.conftest import Tenant
from tests.prove.ground import Ground

#: 7 input and 10 output tokens at a dollar per thousand.
COST = Decimal("0.017")


@dataclass(frozen=True)
class Answer:
    """What a client got: `code` is the error's, "" where there is none; "hung" and "garbled" are not clean."""

    question: str
    status: int
    code: str
    words: int = 0

    @property
    def clean(self) -> bool:
        """A whole answer, or an error in the right shape."""
        return self.words == 10 if self.code == "" else self.code not in ("hung", "garbled")


async def ask(
    client: httpx2.AsyncClient, question: str, *, stream: bool = False, model: str = "fake", **headers: str
) -> Answer:
    """One call, to its end."""
    body = {"model": model, "messages": [{"role": "user", "content": question}], "max_tokens": 10, "stream": stream}
    try:
        got = await client.post("/v1/chat/completions", json=body, headers=headers)
        return (_streamed if stream else _plain)(question, got.status_code, got.content)
    except httpx2.TimeoutException:
        return Answer(question, 0, "hung")
    except httpx2.TransportError:
        return Answer(question, 0, "connection lost")
    except (orjson.JSONDecodeError, LookupError):
        return Answer(question, got.status_code, "garbled")


async def ask_in_background(client: httpx2.AsyncClient, question: str) -> Answer:
    """A response that nobody waits for; looked up until it has ended."""
    body = {"model": "fake", "input": question, "max_output_tokens": 10, "background": True}
    got = await client.post("/v1/responses", json=body)
    if got.status_code != 200:
        return _plain(question, got.status_code, got.content)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = orjson.loads((await client.get(f"/v1/responses/{got.json()['id']}")).content)
        if found["status"] not in ("queued", "in_progress"):
            said = [part["text"] for item in found["output"] for part in item.get("content", ()) if "text" in part]
            failed = (found.get("error") or {}).get("code") or "failed"
            code = "" if found["status"] == "completed" else failed
            return Answer(question, 200, code, len("".join(said).split()))
        await asyncio.sleep(0.25)
    return Answer(question, 200, "hung")


def _plain(question: str, status: int, content: bytes) -> Answer:
    data = orjson.loads(content)
    if status != 200:
        return Answer(question, status, data["error"]["code"] or data["error"]["type"])
    return Answer(question, status, "", len(data["choices"][0]["message"]["content"].split()))


def _streamed(question: str, status: int, content: bytes) -> Answer:
    if status != 200:
        return _plain(question, status, content)
    events = [line.removeprefix(b"data: ") for line in content.splitlines() if line.startswith(b"data: ")]
    data = [orjson.loads(event) for event in events if event != b"[DONE]"]
    text = "".join(part["delta"].get("content") or "" for event in data for part in event.get("choices", ()))
    broken = next((event["error"]["code"] for event in data if "error" in event), "")
    if not broken and (not events or events[-1] != b"[DONE]"):
        broken = "garbled"
    return Answer(question, status, broken, len(text.split()))


async def ask_all(
    ground: Ground, tenant: Tenant, questions: Iterable[str], *, clients: int, stream: bool = False
) -> list[Answer]:
    """All questions, `clients` of them at a time."""
    free = asyncio.Semaphore(clients)

    async def one(client: httpx2.AsyncClient, question: str) -> Answer:
        async with free:
            return await ask(client, question, stream=stream)

    async with ground.client(tenant) as client:
        return await asyncio.gather(*(one(client, question) for question in questions))


@dataclass(frozen=True)
class Books:
    """What became of a tenant's calls: `ended` counts them by the state of their reservation."""

    ended: Counter[str]
    violations: list[str]
    ledger: Decimal


def examine(ground: Ground, tenant: Tenant, answers: Iterable[Answer], *, stopped: bool = False) -> Books:
    """Hold the upstream's count, the clients' answers and the ledger against each other, call by call.

    A call that reached the upstream must be charged once: its cost, or its hold where nobody knows (`unknown`, and then
    marked as such); a client that has an answer must have been charged its cost; nothing may stay held.

    Args:
        stopped: a worker that was told to stop broke calls off, as it should: what had said nothing then is free.
    """
    served, calls = ground.upstream.served(), _calls(ground, tenant)
    problems, ended = [], Counter[str]()
    for call in calls.values():
        ended[call["reservation"]] += 1
        free = stopped and call["error"] == "worker_lost"
        problems += _wrong(call, served[call["question"]], free=free)
    for answer in answers:
        call = calls.get(answer.question)
        if not answer.clean:
            problems.append(f"{answer.question}: the client's answer is {answer.code or 'cut short'}")
        if call is None and (answer.status == 200 or served[answer.question]):
            problems.append(f"{answer.question}: answered or served, but there is no row")
        if call and answer.code == "" and call["reservation"] != "settled":
            problems.append(f"{answer.question}: answered, but its reservation is {call['reservation']}")
    ledger = sum((call["cost"] for call in calls.values()), Decimal(0))
    spent, held, limit = ground.accounts(tenant)
    if held != 0 or spent != ledger or spent > limit:
        problems.append(f"the account has {spent} spent, {held} held of {limit}; the ledger has {ledger}")
    return Books(ended, problems, ledger)


def _calls(ground: Ground, tenant: Tenant) -> dict[str, dict[str, Any]]:
    rows = ground.sql(
        "SELECT coalesce(g.request #>> '{messages,-1,content}', g.request #>> '{input,-1,content,0,text}'), "
        "       g.state, g.error -> 'error' ->> 'code', r.state, r.hold, "
        "       array(SELECT u.meter FROM billing_usagerecord u "
        "              WHERE u.tenant_id = r.tenant_id AND u.request_id = g.id ORDER BY u.meter), "
        "       (SELECT coalesce(sum(u.cost), 0) FROM billing_usagerecord u "
        "         WHERE u.tenant_id = r.tenant_id AND u.request_id = g.id) "
        "FROM inference_generation g JOIN billing_reservation r ON r.tenant_id = g.tenant_id AND r.id = g.id "
        "WHERE g.tenant_id = %s",
        tenant.id,
    )
    names = ("question", "state", "error", "reservation", "hold", "meters", "cost")
    return {row[0]: dict(zip(names, row, strict=True)) for row in rows}


def _wrong(call: dict[str, Any], served: int, *, free: bool) -> list[str]:
    """What is wrong with one call; empty where nothing is."""
    told = f"{call['question']}: {call['reservation']}, {call['meters']}, {call['cost']}, served {served} times"
    match call["reservation"]:
        case "settled":
            # A stream that broke off is charged for what was produced; whole ones for what the upstream reported.
            right = call["meters"] == ["input_tokens", "output_tokens"] and 0 < call["cost"] <= call["hold"]
            right &= served == 1 and (call["state"] != "completed" or call["cost"] == COST)
        case "unknown":
            right = call["meters"] == ["unreconciled"] and call["cost"] == call["hold"]
            right &= served <= 1 and call["error"] == "worker_lost"
        case "released":
            right = call["meters"] == [] and (served == 0 or free)
        case _:
            right = False
    return [] if right else [told]
