"""A body that is too large is refused before it is read to its end, and nothing of it reaches the application's disk."""

import asyncio
import json
from typing import Any

import pytest

from config.body_limit import FORM_BYTES, BodyLimit

LIMIT = 1000


@pytest.fixture(autouse=True)
def small(settings: Any) -> None:
    settings.MAX_FILE_BYTES = LIMIT


class Reader:
    """An application that reads the whole body, as Django's does, and answers 200 unless the client goes away."""

    def __init__(self) -> None:
        self.read = 0
        self.called = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.called = True
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            self.read += len(message["body"])
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"taken"})


def ask(size: int, *, announced: bool, accept: bytes = b"*/*") -> tuple[Reader, list[dict[str, Any]], int]:
    """The application, what was sent back, and how much of the body was left unread."""
    parts = [b"x" * 100] * (size // 100)
    reader, sent = Reader(), []
    headers = [(b"accept", accept)] + ([(b"content-length", str(size).encode())] if announced else [])

    async def receive() -> dict[str, Any]:
        part = parts.pop()
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/v1/files", "headers": headers}
    asyncio.run(BodyLimit(reader)(scope, receive, send))
    return reader, sent, len(parts)


@pytest.mark.parametrize("announced", [True, False])
def test_what_fits_is_passed_on(announced):
    reader, sent, _ = ask(LIMIT + FORM_BYTES - FORM_BYTES % 100, announced=announced)
    assert (sent[0]["status"], reader.read) == (200, LIMIT + FORM_BYTES - FORM_BYTES % 100)


def test_what_is_announced_too_large_never_reaches_the_application():
    reader, sent, left = ask(1_000_000, announced=True)
    assert not reader.called
    assert sent[0]["status"] == 413
    assert json.loads(sent[1]["body"])["error"]["code"] == "file_too_large"
    assert left == 0  # read and thrown away, so that the client hears the answer


def test_what_announces_nothing_is_cut_off_where_it_becomes_too_large():
    reader, sent, _ = ask(1_000_000, announced=False)
    assert reader.read <= LIMIT + FORM_BYTES
    assert [message.get("status") for message in sent] == [413, None, None]


def test_a_browser_reads_words():
    _, sent, _ = ask(1_000_000, announced=True, accept=b"text/html,*/*")
    assert sent[1]["body"].decode().startswith("The file has 1,000,000 bytes; the limit is 1,000.")
