"""Bytes of an uploaded file to text with page positions, in a child process that hostile input cannot outgrow.

`parse` may be called from any thread of any worker (Celery's prefork pool too, whose daemonic processes may not use
multiprocessing): each process starts one fork server with `subprocess` on first use and keeps it; see
`knowledge.parsing_child` for what happens there. The server inherits no environment, hence no secrets, and ends when
the process does. A parse that fails for a reason of ours (the server was killed) raises ParserUnavailable and may be
tried again; one that fails for a reason of the file raises UnreadableFile and may not.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knowledge.file_types import INVALID_FILE, UNSUPPORTED_FILE, UnreadableFile

__all__ = [
    "INVALID_FILE",
    "UNSUPPORTED_FILE",
    "Limits",
    "PageSpan",
    "ParsedDocument",
    "ParserUnavailable",
    "UnreadableFile",
    "parse",
]

_TOO_MUCH_MEMORY = "Reading the file takes more memory than one file may use. Split it and upload the parts."
_TOO_SLOW = "Reading the file takes too long. Split it and upload the parts."
_GRACE_SECONDS = 2.0  # for the start of the server and the transfer, on top of the child's own limit
_OUT_OF_TIME = {-signal.SIGALRM, -signal.SIGXCPU, -signal.SIGKILL}
_OUT_OF_MEMORY = -signal.SIGABRT  # Rust aborts when an allocation is refused


class ParserUnavailable(Exception):
    """The parser's process went away for no fault of the file; temporary."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may cost. Bytes and seconds; `memory_bytes` is address space, so resident memory stays below it."""

    file_bytes: int = 64 * 2**20
    unpacked_bytes: int = 256 * 2**20
    memory_bytes: int = 512 * 2**20
    seconds: float = 8.0
    text_characters: int = 20_000_000


@dataclass(frozen=True, slots=True)
class PageSpan:
    """Page `number` (from 1) is `text[start:end]`; offsets count characters."""

    number: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """`text` is Markdown, except for plain text; `pages` is empty for formats without pages; no NUL in `text`."""

    text: str
    pages: tuple[PageSpan, ...]
    title: str | None
    mime_type: str


def parse(data: bytes, filename: str, limits: Limits | None = None) -> ParsedDocument:
    """Text of the file `data`; `filename` only chooses between kinds of text.

    Raises UnreadableFile (code and message for the uploader) or ParserUnavailable (try again).
    """
    limits = limits or Limits()
    if not data:
        raise UnreadableFile(INVALID_FILE, "The file is empty.")
    if len(data) > limits.file_bytes:
        raise UnreadableFile(
            INVALID_FILE, f"The file has {len(data):,} bytes; the limit is {limits.file_bytes:,}. Split it."
        )
    answer = _ask(data, filename, limits)
    if "code" in answer:
        raise UnreadableFile(answer["code"], answer["message"])
    if len(answer["text"]) > limits.text_characters:
        raise UnreadableFile(
            INVALID_FILE, f"The file holds {len(answer['text']):,} characters; the limit is {limits.text_characters:,}."
        )
    text = answer["text"]
    return ParsedDocument(
        # Postgres refuses NUL; a space in its place keeps every offset.
        text=text.replace("\x00", " "),
        pages=tuple(PageSpan(*span) for span in answer["pages"]),
        title=(answer["title"] or "").replace("\x00", " ").strip() or None,
        mime_type=answer["mime_type"],
    )


def _ask(data: bytes, filename: str, limits: Limits) -> dict[str, Any]:
    request = {
        "filename": filename,
        "size": len(data),
        "memory_bytes": limits.memory_bytes,
        "seconds": limits.seconds,
        "unpacked_bytes": limits.unpacked_bytes,
        "memory_message": _TOO_MUCH_MEMORY,
    }
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            _server().hand_over(theirs)
        deadline = time.monotonic() + limits.seconds + _GRACE_SECONDS
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


class _ForkServer:
    """The parent's end of `knowledge.parsing_child`."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "knowledge.parsing_child", str(theirs.fileno())],
                cwd=Path(__file__).parent.parent,
                # Nothing of our environment: it holds secrets. Two arenas keep threads from reserving address space.
                env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "MALLOC_ARENA_MAX": "2"},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # panics quote the document
            )

    def is_usable(self) -> bool:
        return self.owner == os.getpid() and self._process.poll() is None

    def hand_over(self, connection: socket.socket) -> None:
        try:
            socket.send_fds(self._control, [b"\0"], [connection.fileno()])
        except OSError as error:
            raise ParserUnavailable("The parser went away.") from error

    def close(self) -> None:
        """End the server (in a fork of its owner: only drop our copy of the socket)."""
        self._control.close()
        if self.owner == os.getpid():
            self._process.wait()


_current: _ForkServer | None = None
_lock = threading.Lock()


def _server() -> _ForkServer:
    global _current
    with _lock:
        if _current is None or not _current.is_usable():
            if _current is not None:
                _current.close()
            _current = _ForkServer()
        return _current


def shut_down() -> None:
    """Stop this process's fork server, if any; the next `parse` starts another."""
    global _current
    with _lock:
        if _current is not None:
            _current.close()
        _current = None


def _forget_parents_lock() -> None:
    """A fork taken while another thread held the lock would wait on it for ever."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forget_parents_lock)
