"""`make demo`: the whole main job on real parts, then serve until Ctrl-C (`DEMO_EXIT=1`: stop everything and exit).

Two tenants; one uploads the documents beside this file, its app asks questions through the `openai` SDK and gets
cited, metered answers within a budget; the other finds nothing of it; finance gets its report line; the admin's charts
get a month of made-up calls. Every step checks what it shows, and the exit status is not 0 when one failed.
"""

import json
import os
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import openai

from config.demo.past_calls import TAG
from config.demo.questions import QUESTIONS, DemoQuestion
from config.supervisor import ROOT, Stack, stack, wait_for_signal

DOCUMENTS = Path(__file__).parent / "documents"
MODEL = "local-extractive"
_BAR = 24


class DemoFailed(Exception):
    """A step did not show what it should."""


@dataclass(frozen=True)
class DemoTenant:
    """A tenant of the demo and its key."""

    name: str
    slug: str
    key: str
    url: str

    def sdk(self) -> openai.OpenAI:
        """What a customer's app uses."""
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=self.key)

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        """GET one of Atrium's own endpoints."""
        answer = httpx2.get(
            f"{self.url}{path}", params=parameters, headers={"authorization": f"Bearer {self.key}"}, timeout=30
        )
        answer.raise_for_status()
        return dict(answer.json())


def say(text: str = "") -> None:
    """To the terminal, at once."""
    print(text, flush=True)


def main() -> int:
    """Run the demo; 0 when every step showed what it should."""
    started = time.monotonic()
    var = Path(os.environ.get("ATRIUM_VAR", ROOT / "var"))
    say("Starting PostgreSQL with pgvector, Redis, web, two workers and beat …")
    os.environ.setdefault("LOG_LEVEL", "WARNING")
    host, port = os.environ.get("ATRIUM_HOST", "127.0.0.1"), int(os.environ.get("ATRIUM_PORT", "8000"))
    with stack(var=var, host=host, port=port) as atrium:
        threading.Thread(target=atrium.watch, daemon=True).start()
        try:
            observatory, log_in = _tour(atrium, started)
        except (DemoFailed, openai.OpenAIError, httpx2.HTTPError, subprocess.CalledProcessError) as error:
            say(f"\nThe demo failed: {error}")
            return 1
        _sign_off(atrium, observatory, log_in)
        if os.environ.get("DEMO_EXIT") != "1":
            say("\nServing until Ctrl-C …")
            wait_for_signal()
    return 0


def _tour(atrium: Stack, started: float) -> tuple[DemoTenant, str]:
    wait_until(lambda: _ready(atrium.url), seconds=90, what="Atrium to be ready")
    say(f"Ready after {time.monotonic() - started:.0f} s: {atrium.url}\n")
    operator = json.loads(_manage(atrium, "issue_platform_key", "--name", "demo", "--json"))["key"]
    observatory, other = (
        _tenant(atrium.url, operator, name, slug) for name, slug in (("Acme Observatory", "acme"), ("Globex", "globex"))
    )
    _post(f"{atrium.url}/v1/budgets", observatory.key, {"name": "monthly", "limit": "5.00"})
    say(
        f"Two tenants: {observatory.name} and {other.name}. {observatory.name} has a hard budget of 5.00 USD a month.\n"
    )
    with observatory.sdk() as client:
        store = _ingest(client)
        for number, question in enumerate(QUESTIONS):
            _ask(observatory, client, store, question)
            if number == 0:
                say(f"   (first answer {time.monotonic() - started:.0f} s after the command)\n")
    _stranger(other, store)
    _finance(observatory, atrium)
    _history(observatory, atrium)
    return observatory, _admin(atrium, observatory)


def _ingest(client: openai.OpenAI) -> str:
    """Upload every document into a vector store and show the workers' progress; returns the store's id."""
    store = client.vector_stores.create(name="Handbook")
    files = [client.files.create(file=path, purpose="assistants") for path in sorted(DOCUMENTS.iterdir())]
    for file in files:
        client.vector_stores.files.create(store.id, file_id=file.id)
    names = {file.id: file.filename for file in files}
    say("Ingestion, by the workers:")
    shown: dict[str, str] = {}

    def finished() -> bool:
        rows = list(client.vector_stores.files.list(store.id))
        for row in rows:
            percent = int((row.model_extra or {}).get("percent", 100 if row.status == "completed" else 0))
            line = f"   {names[row.id]:<34} {'█' * (percent * _BAR // 100):<{_BAR}} {percent:3d} % {row.status}"
            if shown.get(row.id) != line and (percent in (0, 100) or row.status != "in_progress"):
                shown[row.id] = line
                say(line)
            if row.status == "failed":
                raise DemoFailed(f"{names[row.id]}: {row.last_error.message if row.last_error else 'failed'}")
        return all(row.status == "completed" for row in rows)

    wait_until(finished, seconds=120, what="the documents to be ingested")
    say()
    return store.id


def _ask(tenant: DemoTenant, client: openai.OpenAI, store: str, question: DemoQuestion) -> None:
    """Ask one question, streamed; print answer, citations, tokens, cost and what is left of the budget."""
    say(f"?  {question.text}")
    before = _budget(tenant)
    create: Any = client.chat.completions.create  # the SDK types `tools` as OpenAI's own, without file_search here
    stream = create(
        model=MODEL,
        messages=[{"role": "user", "content": question.text}],
        tools=[{"type": "file_search", "vector_store_ids": [store]}],
        stream=True,
        stream_options={"include_usage": True},
    )
    text, usage = "", None
    citations: list[dict[str, Any]] = []
    print("   ", end="")
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            print(choice.delta.content or "", end="", flush=True)
            text += choice.delta.content or ""
            citations += (choice.delta.model_extra or {}).get("annotations") or []
    say()
    for citation in {(c["filename"], c["page"]): c for c in citations}.values():
        page = f", page {citation['page']}" if citation["page"] else ""
        say(f"   ← {citation['filename']}{page}, characters {citation['start']}–{citation['end']}")
    after = _budget(tenant)
    if usage is None:
        raise DemoFailed("the stream had no usage")
    say(
        f"   {usage.prompt_tokens} + {usage.completion_tokens} tokens, {before - after:.6f} USD; "
        f"{after:.6f} USD left of the budget\n"
    )
    _check(question, text, {citation["filename"] for citation in citations})


def _check(question: DemoQuestion, text: str, cited: set[str]) -> None:
    if question.expected_phrase is None:
        if cited:
            raise DemoFailed(f"an unsupported question was answered from {cited}")
    elif question.expected_phrase.lower() not in re.sub(r"\s+", " ", text).lower() or question.filename not in cited:
        raise DemoFailed(f"expected '{question.expected_phrase}' from {question.filename}")


def _stranger(other: DemoTenant, store: str) -> None:
    """The second tenant asks for the first one's store, and searches its own."""
    with other.sdk() as client:
        try:
            client.vector_stores.search(store, query=QUESTIONS[0].text)
        except openai.NotFoundError as refused:
            say(f"{other.name} asks for that vector store: 404, {refused.body['message']}")  # type: ignore[index]
        else:
            raise DemoFailed("a stranger could search the store")
        own = client.vector_stores.create(name="Empty")
        found = client.vector_stores.search(own.id, query=QUESTIONS[0].text).data
        say(f"{other.name} searches its own: {len(found)} passages; its files: {len(client.files.list().data)}\n")
        if found:
            raise DemoFailed("a stranger found passages")


def _finance(tenant: DemoTenant, atrium: Stack) -> None:
    """The report line of this month, and the same by the command that finance runs."""
    month = time.strftime("%Y-%m", time.gmtime())
    today = int(time.time()) // 86_400 * 86_400
    costs = tenant.get("/v1/organization/costs", start_time=today)
    amounts = [Decimal(str(row["amount"]["value"])) for bucket in costs["data"] for row in bucket["results"]]
    say(f"Finance: {tenant.name} spent {sum(amounts):.6f} USD today (GET /v1/organization/costs)")
    say(f"manage.py usage_report --month {month} --format csv --tenant {tenant.slug}")
    report = _manage(atrium, "usage_report", "--month", month, "--format", "csv", "--tenant", tenant.slug)
    for line in report.splitlines():
        say(f"   {line}")
    say()


def _history(tenant: DemoTenant, atrium: Stack) -> None:
    """A month of calls that were never made, so that the admin's charts show something."""
    made = json.loads(_manage(atrium, "make_demo_history", "--tenant", tenant.slug, "--json"))["calls"]
    say(f"For the admin's charts: {made} made-up calls of the last 31 days, by keys called “… (demo)”, tag {TAG}.\n")


def _admin(atrium: Stack, tenant: DemoTenant) -> str:
    """A log-in for the tenant's admin; returns `email / password`."""
    email, password = f"admin@{tenant.slug}.example", secrets.token_urlsafe(12)
    environment = {**atrium.environment, "DEMO_PASSWORD": password}
    command = ["create_member", "--tenant", tenant.slug, "--email", email, "--role", "owner"]
    _manage(atrium, *command, "--password-env", "DEMO_PASSWORD", environment=environment)
    return f"{email} / {password}"


def _sign_off(atrium: Stack, tenant: DemoTenant, log_in: str) -> None:
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]})
    say(f"API        {atrium.url}/v1   (documentation: {atrium.url}/v1/docs)")
    say(f"Admin      {atrium.url}/admin/   {log_in}")
    say(f"API key    {tenant.key}")
    say(f"curl {atrium.url}/v1/chat/completions -H 'Authorization: Bearer {tenant.key}' -d '{body}'")


def _tenant(url: str, operator: str, name: str, slug: str) -> DemoTenant:
    """A tenant of this run, made as an operator's own system would: its slug has a suffix, so that it starts clean."""
    slug = f"{slug}-{secrets.token_hex(3)}"
    made = _post(f"{url}/v1/platform/tenants", operator, {"external_id": slug, "slug": slug, "name": name})
    return DemoTenant(name, slug, made["api_key"], url)


def _post(url: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = httpx2.post(url, json=body, headers={"authorization": f"Bearer {key}"}, timeout=30)
    answer.raise_for_status()
    return dict(answer.json())


def _budget(tenant: DemoTenant) -> Decimal:
    """What is left of the budget."""
    return Decimal(tenant.get("/v1/budgets")["data"][0]["left"])


def _manage(atrium: Stack, *arguments: str, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment or atrium.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DemoFailed(f"manage.py {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


def _ready(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/readyz", timeout=2).status_code == 200
    except httpx2.TransportError:
        return False


def wait_until(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Poll another process's state.

    Raises:
        DemoFailed: it did not come true in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise DemoFailed(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.15)


if __name__ == "__main__":
    sys.exit(main())
