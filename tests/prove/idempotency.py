"""Promise 9: fifty parallel posts under one Idempotency-Key have one effect; another body 422, another tenant its own."""

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

import httpx2

from tests.e2e.conftest import Tenant
from tests.prove.ground import Ground
from tests.prove.verdict import Verdict, scaled

PARALLEL = 50


def prove(ground: Ground) -> Verdict:
    """A chat completion, which the upstream counts, and a create, which the database does."""
    acme, globex = ground.new_tenant(budget="1000"), ground.new_tenant(budget="1000")
    rounds = scaled(10)
    violations, statuses = asyncio.run(_rounds(ground, acme, globex, rounds))
    told = ", ".join(f"{number} × {status}" for status, number in sorted(statuses.items()))
    figures = f"{rounds} rounds of {PARALLEL} parallel posts to chat completions and to vector stores each: {told}"
    return Verdict(figures, violations)


async def _rounds(ground: Ground, acme: Tenant, globex: Tenant, rounds: int) -> tuple[list[str], Counter[int]]:
    violations, statuses = [], Counter[int]()
    async with ground.client(acme) as ours, ground.client(globex) as theirs:
        for _ in range(rounds):
            mark = f"idempotent-{uuid4().hex}"
            chat = {"model": "fake", "messages": [{"role": "user", "content": f"fault:takes 0.2 {mark}"}]}
            for path, body, other in (
                ("/v1/chat/completions", chat, {**chat, "max_tokens": 9}),
                ("/v1/vector_stores", {"name": mark}, {"name": f"{mark}-other"}),
            ):
                violations += await _one_key(ours, theirs, f"{path} {mark}", path, body, other, statuses)
            violations += _effects(ground, mark)
    return violations, statuses


async def _one_key(
    ours: httpx2.AsyncClient, theirs: httpx2.AsyncClient, key: str, path: str, body: Any, other: Any, statuses: Counter[int]
) -> list[str]:  # fmt: skip
    headers = {"idempotency-key": key}
    answers = await asyncio.gather(*(ours.post(path, json=body, headers=headers) for _ in range(PARALLEL)))
    statuses.update(answer.status_code for answer in answers)
    again = await ours.post(path, json=body, headers=headers)
    changed = await ours.post(path, json=other, headers=headers)
    foreign = await theirs.post(path, json=body, headers=headers)
    ids = {answer.json()["id"] for answer in [*answers, again] if answer.status_code == 200}
    found = []
    if {answer.status_code for answer in answers} - {200, 409} or len(ids) != 1:
        found.append(f"{path}: {Counter(a.status_code for a in answers)} with {len(ids)} ids")
    if again.status_code != 200 or again.headers.get("idempotent-replayed") != "true":
        found.append(f"{path}: afterwards {again.status_code}, not the first answer again")
    if changed.status_code != 422:
        found.append(f"{path}: a changed body answered {changed.status_code}")
    if foreign.status_code != 200 or foreign.json()["id"] in ids or "idempotent-replayed" in foreign.headers:
        found.append(f"{path}: another tenant's same key answered {foreign.status_code} {foreign.json().get('id')}")
    return found


def _effects(ground: Ground, mark: str) -> list[str]:
    """One effect for each of the two tenants, in every book."""
    calls = sum(number for question, number in ground.upstream.served().items() if mark in question)
    [(stores,)] = ground.sql("SELECT count(*) FROM knowledge_vectorstore WHERE name LIKE %s", f"{mark}%")
    [(rows, lines)] = ground.sql(
        "SELECT count(DISTINCT g.id), count(u.id) FROM inference_generation g "
        "LEFT JOIN billing_usagerecord u ON u.tenant_id = g.tenant_id AND u.request_id = g.id "
        "WHERE g.request::text LIKE %s",
        f"%{mark}%",
    )
    if (calls, stores, rows, lines) == (2, 2, 2, 4):
        return []
    return [f"two tenants: {calls} calls upstream, {stores} stores, {rows} generations, {lines} ledger lines"]
