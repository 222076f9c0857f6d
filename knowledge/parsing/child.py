"""The parser's own process: `python -m knowledge.parsing.child <socket fd>`, started by `fork_server`.

It imports the parsers once and then forks per document, which costs some 10 ms where a fresh interpreter costs half a
second. Neither it nor the fork extracts: xberg's thread pool does not survive a fork, and what was forked later would
hang. The fork leads the reading and has each piece done in a fork of its own (see `steps`).

Each request arrives as a connected socket over the control socket (SCM_RIGHTS). The forked child reads the document
from it, answers one line of JSON and exits; then this process adds one line with the child's exit status, so a child
killed by its limits is reported too. Everything is bounded: memory by RLIMIT_AS, processor and wall time by timers
whose signals also end native code.
"""

import json
import os
import resource
import selectors
import signal
import socket
import sys
from typing import Any

from . import failures, reader
from .content import assemble
from .documents import INVALID_FILE, UnreadableFile
from .steps import Steps, limit_time


def serve(control: socket.socket) -> None:
    """Fork a child for every connection sent over `control`, until its other end is closed."""
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.data is not None:
                selector.unregister(key.fd)
                _report(key.fd, *key.data)
                continue
            _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
            if not descriptors:
                return
            connection = socket.socket(fileno=descriptors[0])
            child = _fork(connection, selector)
            selector.register(os.pidfd_open(child), selectors.EVENT_READ, (child, connection))


def _fork(connection: socket.socket, selector: selectors.BaseSelector) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        _close_others(selector, connection)
        _answer(connection)
        status = 0
    finally:
        # Not sys.exit: the fork must not unwind into the server's loop or flush its buffers.
        os._exit(status)


def _close_others(selector: selectors.BaseSelector, connection: socket.socket) -> None:
    """A document's parser must not hold, or reach, the sockets of the other documents in flight."""
    inherited = [key.fd for key in selector.get_map().values()]
    inherited += [key.data[1].fileno() for key in selector.get_map().values() if key.data is not None]
    for descriptor in inherited:
        if descriptor != connection.fileno():
            os.close(descriptor)


def _report(pidfd: int, child: int, connection: socket.socket) -> None:
    _, status = os.waitpid(child, 0)
    os.close(pidfd)
    with connection:
        try:
            connection.sendall(json.dumps(os.waitstatus_to_exitcode(status)).encode() + b"\n")
        except OSError:
            return  # the asker gave up first; nobody is left to tell


def _answer(connection: socket.socket) -> None:
    with connection.makefile("rwb") as stream:
        request = json.loads(stream.readline())
        _limit(request)
        data = stream.read(request["size"])
        try:
            answer = _TASKS[request["task"]](data, request, Steps(request))
        except UnreadableFile as error:
            answer = {"code": error.code, "message": error.message}
        except MemoryError:
            answer = {"code": INVALID_FILE, "message": failures.too_much_memory().message}
        stream.write(json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace") + b"\n")


def _limit(request: dict[str, Any]) -> None:
    memory_bytes = request["memory_bytes"]
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    limit_time(request["seconds"], request["patience"])
    # It mostly waits for its steps, which have limits of their own.
    whole = request["seconds"] + request["scan_seconds"] + request["seconds_per_scan"]
    signal.setitimer(signal.ITIMER_REAL, whole * request["patience"])


def _parse(data: bytes, request: dict[str, Any], steps: Steps) -> dict[str, Any]:
    return assemble(reader.read(data, request["filename"], steps))


def _parse_pages(data: bytes, request: dict[str, Any], steps: Steps) -> dict[str, Any]:
    return assemble(reader.read_pages(data, request["filename"], request["first"], request["last"], steps))


def _inspect(data: bytes, request: dict[str, Any], steps: Steps) -> dict[str, Any]:
    return reader.inspect(data, request["filename"], steps)


_TASKS = {"parse": _parse, "parse_pages": _parse_pages, "inspect": _inspect}


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the worker, which closes the socket when it is done
    serve(socket.socket(fileno=int(sys.argv[1])))
