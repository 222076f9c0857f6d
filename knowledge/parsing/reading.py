"""The way in: `parse` a file, or `inspect` it and `parse_pages` of a long one in parts. Callable from any thread.

A parse that fails for a reason of ours (the server was killed) raises ParserUnavailable and may be tried again; one
that fails for a reason of the file raises UnreadableFile and may not.
"""

import contextlib
import json
import signal
import socket
import time
from typing import Any

from .documents import INVALID_FILE, Inspection, Limits, PageSpan, ParsedDocument, ParserUnavailable, UnreadableFile
from .fork_server import current_server

_TOO_MUCH_MEMORY = "Reading the file takes more memory than one file may use. Split it and upload the parts."
_TOO_SLOW = "Reading the file takes too long. Split it and upload the parts."
_GRACE_SECONDS = 2.0  # for the start of the server and the transfer, on top of the child's own limit
_OUT_OF_TIME = {-signal.SIGALRM, -signal.SIGXCPU, -signal.SIGKILL}
_OUT_OF_MEMORY = -signal.SIGABRT  # Rust aborts when an allocation is refused


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
        raise UnreadableFile(
            INVALID_FILE, f"The file holds {len(answer['text']):,} characters; the limit is {limits.text_characters:,}."
        )
    return ParsedDocument(
        # Postgres refuses NUL; a space in its place keeps every offset.
        text=answer["text"].replace("\x00", " "),
        pages=tuple(PageSpan(*span) for span in answer["pages"]),
        title=(answer["title"] or "").replace("\x00", " ").strip() or None,
        mime_type=answer["mime_type"],
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
        "memory_bytes": limits.memory_bytes,
        "seconds": limits.seconds,
        "unpacked_bytes": limits.unpacked_bytes,
        "memory_message": _TOO_MUCH_MEMORY,
        **details,
    }
    answer = _exchange(request, data, limits.seconds)
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
    if status in _OUT_OF_TIME:
        raise UnreadableFile(INVALID_FILE, _TOO_SLOW)
    if status == _OUT_OF_MEMORY:
        raise UnreadableFile(INVALID_FILE, _TOO_MUCH_MEMORY)
    raise UnreadableFile(INVALID_FILE, "The file is damaged: the parser fails on it.")
