"""Promise 15, keys: in plaintext they are nowhere but with their owners.

Keys of every kind are made through every door and used rightly and wrongly; then their secrets are looked for in every
row, in PostgreSQL's files (write-ahead log included), in what the processes printed, in all that went through Redis and
in every error that a client read.
"""

import json
import mmap
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import redis
from django.test import Client

from config.supervisor import ROOT
from tests.e2e.conftest import Tenant
from tests.inference.bedrock.runtime import BedrockRuntime
from tests.prove.furniture import furnish
from tests.prove.ground import Ground
from tests.prove.verdict import Verdict, scaled


def prove(ground: Ground) -> Verdict:
    """Make, use, misuse, look."""
    with _listening(ground) as heard:
        secrets, errors = _make_and_use(ground, scaled(5))
    violations = [
        *_in_rows(ground, secrets),
        *_in_files(ground, secrets),
        *(f"in an error body: {what}" for what, secret in secrets.items() for error in errors if secret in error),
        *(
            f"in a command to Redis: {what}"
            for what, secret in secrets.items()
            if any(secret in text for text in heard)
        ),
        *_in_redis(ground, secrets),
    ]
    figures = (
        f"{len(secrets)} secrets, {len(errors)} error bodies, {len(heard)} Redis commands, every row, data file and log"
    )
    return Verdict(figures, violations)


def _make_and_use(ground: Ground, rounds: int) -> tuple[dict[str, str], list[str]]:
    """What is secret, by name, and the errors that clients read."""
    secrets, errors = {"the platform's key": _secret(ground.platform_key)}, []
    ours = furnish(ground, f"acme{uuid4().hex[:8]}")
    secrets["a first key"] = _secret(ours.tenant.key)
    secrets["a provider's key"] = _register_with_key(ground, ours.tenant)
    secrets["a signing secret"] = ground.post("/v1/signing_secrets", ours.tenant.key, {"name": "x"})["value"]
    for number in range(rounds):
        made = ground.post("/v1/api_keys", ours.tenant.key, {"name": "x", "scopes": ["inference", "files.read"]})
        secrets[f"a key by REST {number}"] = _secret(made["value"])
        scopes = ["--scopes", "inference,files.read"]
        made = ground.manage("issue_api_key", "--tenant", ours.tenant.slug, "--name", "x", *scopes)
        secrets[f"a key by command {number}"] = _secret(made["key"])
        errors += _misuse(ground, made["key"])
    secrets["a key by the admin"] = _secret(_key_by_admin(ours.owner))
    errors += _misuse(ground, ours.tenant.key) + _misuse(ground, ground.platform_key)
    errors += _failing_upstream(ground, ours.tenant)
    of_bedrock, more = _bedrock(ground, ours.tenant)
    return {**secrets, **of_bedrock}, errors + more


def _secret(key: str) -> str:
    """The forty digits that matter; tenant and prefix may be read by anybody."""
    return key.rsplit("-", 1)[1][:40]


def _register_with_key(ground: Ground, tenant: Tenant) -> str:
    """A model behind a provider's key, granted to the tenant."""
    key = f"sk-provider-{uuid4().hex}"
    command = [
        "register_model", "--name", f"keyed-{key[-8:]}", "--base-url", ground.upstream.url, "--input-price", "1",
        "--output-price", "1", "--api-key-stdin", "--json",
    ]  # fmt: skip
    subprocess.run(
        [sys.executable, "manage.py", *command], cwd=ROOT, env=ground.stack.environment, input=key, text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    ground.manage("grant_model", "--tenant", tenant.slug, "--model", f"keyed-{key[-8:]}")
    ground.post(
        "/v1/chat/completions",
        tenant.key,
        {"model": f"keyed-{key[-8:]}", "messages": [{"role": "user", "content": "x"}]},
    )
    return key


def _bedrock(ground: Ground, tenant: Tenant) -> tuple[dict[str, str], list[str]]:
    """Credentials of Amazon Bedrock, used there, refused there, and brought under the newest key."""
    mark = uuid4().hex
    given = {"secret_access_key": f"secret-access-{mark}", "session_token": f"session-{mark}"}
    name = f"bedrock-{mark[:8]}"
    runtime = BedrockRuntime()
    try:
        ground.manage(
            "register_model", "--name", name, "--provider", "bedrock", "--base-url", runtime.url, "--region", "eu-west-1",
            "--input-price", "1", "--output-price", "1", "--credentials-stdin",
            stdin=json.dumps({"access_key_id": f"AKID{mark}", **given}),
        )  # fmt: skip
        ground.manage("grant_model", "--tenant", tenant.slug, "--model", name)
        errors = []
        for said, stream in (("hi", False), ("fault:fails_midway", True), ("fault:cut", True), ("fault:denied", False)):
            body = {"model": name, "messages": [{"role": "user", "content": said}], "stream": stream}
            headers = {"authorization": f"Bearer {tenant.key}"}
            url = f"{ground.stack.url}/v1/chat/completions"
            errors.append(httpx2.post(url, headers=headers, json=body, timeout=60).text)
        ground.manage("reencrypt_secrets")
        assert len(runtime.requests) >= 4, "Bedrock was not asked"
    finally:
        runtime.close()
    return {
        "an access key's id": f"AKID{mark}",
        **{f"Bedrock's {name}": value for name, value in given.items()},
    }, errors


def _key_by_admin(owner: Any) -> str:
    """Made on the admin's page, which shows it once."""
    client = Client()
    client.force_login(owner)
    page = client.post("/admin/tenants/apikey/add/", {"name": "by hand", "scopes": ["inference"]}, follow=True)
    text = page.content.decode()
    place = text.index("sk-")
    return text[place : place + 93]


def _misuse(ground: Ground, key: str) -> list[str]:
    """Wrong in every place where a key may be put by mistake; the bodies of the errors."""
    wrong = key[:-1] + ("0" if key[-1] != "0" else "1")
    bearer = {"authorization": f"Bearer {key}"}
    body = {"model": "fake", "messages": [{"role": "user", "content": "x"}]}
    with httpx2.Client(base_url=ground.stack.url, timeout=30) as client:
        answers = [
            client.get("/v1/files", headers={"authorization": f"Bearer {wrong}"}),
            client.get("/v1/files", headers={"authorization": key}),
            client.get("/v1/files", headers={"authorization": f"Basic {key}"}),
            client.get("/v1/platform/tenants", headers={"authorization": f"Bearer {wrong}"}),
            client.get("/v1/models", params={"api_key": key}),
            client.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {wrong}"}),
            client.post("/v1/chat/completions", json={**body, "model": "none"}, headers=bearer),
            client.post("/v1/chat/completions", content=b"{", headers=bearer),
            client.post("/v1/api_keys", json={"name": "x", "scopes": ["budgets.write"]}, headers=bearer),
            client.get("/v1/vector_stores/vs_none", headers=bearer),
            client.get("/v1/nothing", headers=bearer),
        ]
    return [answer.text for answer in answers if answer.status_code >= 400]


def _failing_upstream(ground: Ground, tenant: Tenant) -> list[str]:
    answers = [
        httpx2.post(
            f"{ground.stack.url}/v1/chat/completions",
            headers={"authorization": f"Bearer {tenant.key}"},
            json={"model": "fake", "messages": [{"role": "user", "content": f"fault:{how}"}]},
            timeout=60,
        )
        for how in ("credentials", "refuses", "html")
    ]
    return [answer.text for answer in answers]


@contextmanager
def _listening(ground: Ground) -> Iterator[list[str]]:
    """Everything that goes through Redis meanwhile: Celery's messages with their arguments, caches, streams."""
    heard: list[str] = []
    done = threading.Event()
    client = redis.Redis.from_url(ground.stack.environment["REDIS_URL"])

    def listen() -> None:
        with client.monitor() as monitor:
            for command in monitor.listen():
                heard.append(command["command"])
                if done.is_set():
                    return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    yield heard
    done.set()
    with redis.Redis.from_url(ground.stack.environment["REDIS_URL"]) as last:
        last.ping()
    thread.join(10)
    client.close()


def _in_rows(ground: Ground, secrets: dict[str, str]) -> list[str]:
    found = []
    tables = ground.sql(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"
    )
    for (table,) in tables:
        for what, secret in secrets.items():
            [(rows,)] = ground.sql(f'SELECT count(*) FROM "{table}" t WHERE strpos(t::text, %s) > 0', secret)
            if rows:
                found.append(f"in {rows} rows of {table}: {what}")
    return found


def _in_files(ground: Ground, secrets: dict[str, str]) -> list[str]:
    """PostgreSQL's files after a checkpoint, its log, Redis' log, stored documents and the processes' output."""
    with psycopg.connect(os.environ["SUPERUSER_DATABASE_URL"], autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    found = []
    for path in sorted(ground.var.rglob("*")):
        if path.is_file() and path.stat().st_size:
            found += [f"in {path.relative_to(ground.var)}: {what}" for what in _secrets_in(path, secrets)]
    return found


def _secrets_in(path: Path, secrets: dict[str, str]) -> list[str]:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return [what for what, secret in secrets.items() if content.find(secret.encode()) >= 0]
    except (FileNotFoundError, ValueError):
        return []  # gone or emptied meanwhile


def _in_redis(ground: Ground, secrets: dict[str, str]) -> list[str]:
    """What Redis still holds, keys and values as it would dump them."""
    with redis.Redis.from_url(ground.stack.environment["REDIS_URL"]) as client:
        kept = [(key, client.dump(key) or b"") for key in client.scan_iter()]
    return [
        f"kept in Redis under {key!r}: {what}"
        for what, secret in secrets.items()
        for key, value in kept
        if secret.encode() in key or secret.encode() in value
    ]
