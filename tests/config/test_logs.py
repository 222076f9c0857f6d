"""One JSON object a line, with ids; neither keys nor bodies, whatever happens to the request."""

import io
import json
import logging
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from config.services import free_port
from inference import answering
from inference.calls import Admitted, Call, Outcome
from inference.metering import CallMeter
from tenants.ids import uuid7
from tests.conftest import Member

_ROOT = Path(__file__).resolve().parents[2]
_PROMPT = "the patient's name is Ada"


class Lines:
    """What the real handler would have written to stderr."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    def __iter__(self) -> Iterator[dict]:
        return map(json.loads, self.stream.getvalue().splitlines())

    def of(self, logger: str) -> list[dict]:
        return [line for line in self if line["logger"] == logger]


@pytest.fixture
def lines() -> Iterator[Lines]:
    root, lines = logging.getLogger(), Lines()
    configured = next(handler for handler in root.handlers if type(handler) is logging.StreamHandler)
    handler = logging.StreamHandler(lines.stream)
    handler.setFormatter(configured.formatter)
    root.addHandler(handler)
    yield lines
    root.removeHandler(handler)


def test_a_requests_line_has_its_ids_and_timing_and_neither_key_nor_body(acme: Member, lines: Lines) -> None:
    answer = acme.client.post(
        "/v1/api_keys?note=from-the-query", data={"name": _PROMPT, "scopes": ["nope"]}, format="json"
    )
    (line,) = lines.of("atrium.request")
    assert line["request_id"] == answer["x-request-id"]
    assert line["tenant_id"] == str(acme.tenant.id)
    assert (line["method"], line["path"], line["status"]) == ("POST", "/v1/api_keys", answer.status_code)
    assert line["ms"] >= 0
    written = lines.stream.getvalue()
    for secret in (acme.key, acme.key[-40:], _PROMPT, "from-the-query"):
        assert secret not in written


def test_a_request_with_a_bad_key_is_logged_without_it(db: None, client, lines: Lines) -> None:
    client.get("/v1/models", headers={"authorization": "Bearer sk-not-a-key-but-somebodys-secret"})
    (line,) = lines.of("atrium.request")
    assert (line["status"], line["tenant_id"]) == (401, None)
    assert "somebodys-secret" not in lines.stream.getvalue()


def test_a_generations_line_has_its_ids_and_neither_prompt_nor_answer(
    lines: Lines,
) -> None:
    tenant_id, generation_id, answer = uuid7(), uuid7(), "Ada has the measles"
    call = Call(
        tenant_id, generation_id, 1, "chat", uuid7(), "support", "m", json.dumps({"messages": [{"content": _PROMPT}]}),
        Admitted([], 1, Decimal(0), 1, retention_days=0, end_user=""), "inbox", Decimal(1), [], datetime.now(UTC),
    )  # fmt: skip
    ending = answering.Ending(Outcome("completed", answer={"choices": [answer]}), "end", answer.encode())
    answering._note(call, ending, CallMeter(call), Decimal("0.25"), seconds=0.1)
    (line,) = lines.of("atrium.generation")
    assert (line["tenant_id"], line["generation_id"]) == (str(tenant_id), str(generation_id))
    assert (line["model"], line["state"], line["cost"]) == ("m", "completed", "0.25")
    assert _PROMPT not in lines.stream.getvalue() and answer not in lines.stream.getvalue()


def test_probes_are_not_logged(client, lines: Lines) -> None:
    client.get("/healthz")
    assert lines.of("atrium.request") == []


def test_what_is_logged_inside_a_request_carries_its_id(client, lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("config.health.readiness", lambda: logging.getLogger("probe").warning("looked") or {})
    answer = client.get("/readyz")
    (line,) = lines.of("probe")
    assert line["request_id"] == answer["x-request-id"]


def test_the_server_and_the_hot_path_log_json_without_key_or_body(tmp_path: Path) -> None:
    """A real web process: what uvicorn, Django and the gateway write of a refused call."""
    port, log = free_port(), tmp_path / "stderr"
    command = [sys.executable, "-m", "uvicorn", "config.asgi:application", "--port", str(port)]
    environment = os.environ | {"LOG_LEVEL": "INFO", "DJANGO_SETTINGS_MODULE": "config.settings"}
    with log.open("w") as stderr:
        web = subprocess.Popen(command, cwd=_ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=stderr)
    try:
        _wait_for(f"http://127.0.0.1:{port}/healthz")
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/chat/completions",
            data=json.dumps({"model": "m", "messages": [{"role": "user", "content": _PROMPT}]}).encode(),
            headers={"Authorization": "Bearer sk-somebodys-secret", "Content-Type": "application/json"},
        )
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        refused.value.close()
    finally:
        web.terminate()
        web.wait(20)
    text = log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    (line,) = [
        line for line in lines if line.get("path") == "/v1/chat/completions" and line["logger"] == "atrium.request"
    ]
    assert (refused.value.code, line["status"]) == (401, 401)
    assert line["request_id"] == refused.value.headers["x-request-id"]
    assert any(line["logger"].startswith("uvicorn") for line in lines)
    assert _PROMPT not in text and "somebodys-secret" not in text


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 40
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.1)  # another process: there is no event to wait for
