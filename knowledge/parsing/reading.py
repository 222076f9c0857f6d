"""The way in: `parse` a file, or `inspect` it and `parse_pages` of a long one in parts. Callable from any thread.

A parse that fails for a reason of ours (the server was killed) raises ParserUnavailable and may be tried again; one
that fails for a reason of the file raises UnreadableFile and may not.
"""

import contextlib
import json
import socket
import time
from dataclasses import asdict
from typing import Any

from . import failures
from .documents import INVALID_FILE, Inspection, Limits, PageSpan, ParsedDocument, ParserUnavailable, UnreadableFile
from .fork_server import current_server

_GRACE_SECONDS = 2.0  # for the start of the server and the transfer, on top of the child's own limit


def parse(data: bytes, filename: str, limits: Limits | None = None) -> ParsedDocument:
    """Text of the file `data`; `filename` only chooses between kinds of text.

    Raises UnreadableFile (code and message for the uploader) or ParserUnavailable (try again).
    """
    return _document(_ask("parse", data, filename, limits or Limits()), limits or Limits())


def parse_pages(data: bytes, filename: str, *, first: int, last: int, limits: Limits | None = None) -> ParsedDocument:
    """The pages `first` to `last` (from 1, both included) of a file that `inspect` counts the pages of.

    The numbers in `pages` are the file's own; the text holds nothing but these pages. Raises as `parse` does.
    """
    limits = limits or Limits()
    return _document(_ask("parse_pages", data, filename, limits, first=first, last=last), limits)


def inspect(data: bytes, filename: str, limits: Limits | None = None) -> Inspection:
    """Kind and number of pages of the file `data`, which are cheap to tell. Raises as `parse` does."""
    answer = _ask("inspect", data, filename, limits or Limits())
    scanned = answer["scanned"]
    return Inspection(answer["mime_type"], answer["pages"], None if scanned is None else frozenset(scanned))


def _document(answer: dict[str, Any], limits: Limits) -> ParsedDocument:
    if len(answer["text"]) > limits.text_characters:
        raise failures.too_long(limits.text_characters)
    return ParsedDocument(
        text=answer["text"],
        pages=tuple(PageSpan(*span) for span in answer["pages"]),
        title=answer["title"],
        mime_type=answer["mime_type"],
        ocr_pages=answer["ocr_pages"],
        warnings=tuple(answer["warnings"]),
    )


def _ask(task: str, data: bytes, filename: str, limits: Limits, **details: int) -> dict[str, Any]:
    """The child's answer to `task`."""
    if not data:
        raise UnreadableFile(INVALID_FILE, "The file is empty.")
    if len(data) > limits.file_bytes:
        raise UnreadableFile(
            INVALID_FILE, f"The file has {len(data):,} bytes; the limit is {limits.file_bytes:,}. Split it."
        )
    request = {
        "task": task,
        "filename": filename,
        "size": len(data),
        **asdict(limits),
        **details,
    }
    whole = limits.seconds + limits.scan_seconds + limits.seconds_per_scan
    answer = _exchange(request, data, whole * limits.patience)
    if "code" in answer:
        raise UnreadableFile(answer["code"], answer["message"])
    return answer


def _exchange(request: dict[str, Any], data: bytes, seconds: float) -> dict[str, Any]:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            current_server().hand_over(theirs)
        deadline = time.monotonic() + seconds + _GRACE_SECONDS
        # A child that dies of its limits stops reading; its exit status, not the broken pipe, says why.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            _send(ours, json.dumps(request).encode() + b"\n", deadline)
            _send(ours, data, deadline)
        return _understand(_receive(ours, deadline))


def _send(connection: socket.socket, data: bytes, deadline: float) -> None:
    connection.settimeout(max(0.01, deadline - time.monotonic()))
    try:
        connection.sendall(data)
    except TimeoutError as error:
        raise ParserUnavailable("The parser did not take the file in time.") from error


def _receive(connection: socket.socket, deadline: float) -> bytes:
    parts: list[bytes] = []
    while True:
        connection.settimeout(max(0.01, deadline - time.monotonic()))
        try:
            part = connection.recv(2**20)
        except TimeoutError as error:
            raise ParserUnavailable("The parser did not answer in time.") from error
        except ConnectionResetError:
            part = b""
        if not part:
            return b"".join(parts)
        parts.append(part)


def _understand(reply: bytes) -> dict[str, Any]:
    """The child's answer, or what its exit status means; the last line is always the status."""
    *answer, status_line = reply.splitlines() or [b""]
    if not status_line:
        raise ParserUnavailable("The parser went away.")
    status = int(status_line) if status_line.lstrip(b"-").isdigit() else None
    if status == 0 and answer:
        return json.loads(answer[0])
    raise failures.of_status(status)
