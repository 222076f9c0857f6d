"""The parser's own process: `python -m knowledge.parsing.child <socket fd>`, started by `fork_server`.

It imports xberg once and then forks per document, which costs some 10 ms where a fresh interpreter costs half a second.
The parent of the forks must never extract: xberg's thread pool does not survive a fork, and the children would hang.

Each request arrives as a connected socket over the control socket (SCM_RIGHTS). The forked child reads the document
from it, answers one line of JSON and exits; then this process adds one line with the child's exit status, so a child
killed by its limits is reported too. Everything is bounded: memory by RLIMIT_AS, processor time by RLIMIT_CPU, wall
time by SIGALRM, whose default action also ends native code.
"""

import asyncio
import html
import json
import os
import re
import resource
import selectors
import signal
import socket
import sys
from typing import Any

import xberg

from . import file_types, pdf
from .documents import INVALID_FILE, UNSUPPORTED_FILE, UnreadableFile
from .file_types import PDF, PLAIN, PPTX

_PAGED = {PDF, PPTX}  # other formats have no pages of their own; xberg calls the whole one page
_TITLE = re.compile(rb"<title[^>]{0,200}>([^<]{0,1000})</title", re.IGNORECASE)
_OFFICE = {file_types.DOCX, file_types.PPTX, file_types.XLSX}


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
        _limit(request["memory_bytes"], request["seconds"])
        data = stream.read(request["size"])
        try:
            answer = _TASKS[request["task"]](data, request)
        except UnreadableFile as error:
            answer = {"code": error.code, "message": error.message}
        except MemoryError:
            answer = {"code": INVALID_FILE, "message": request["memory_message"]}
        stream.write(json.dumps(answer).encode() + b"\n")


def _limit(memory_bytes: int, seconds: float) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    cpu = max(1, round(seconds))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _parse(data: bytes, request: dict[str, Any]) -> dict[str, Any]:
    mime_type = file_types.detect(data, request["filename"])
    if mime_type in _OFFICE:
        file_types.check_archive(data, max_unpacked_bytes=request["unpacked_bytes"])
    if mime_type == PDF:
        pdf.check_complete(data)
    return _parse_checked(data, mime_type)


def _parse_pages(data: bytes, request: dict[str, Any]) -> dict[str, Any]:
    if file_types.detect(data, request["filename"]) != PDF:
        raise UnreadableFile(UNSUPPORTED_FILE, "Only a PDF can be read in parts.")
    first = request["first"]
    answer = _parse_checked(pdf.extract_pages(data, first, request["last"]), PDF)
    answer["pages"] = [(number + first - 1, start, end) for number, start, end in answer["pages"]]
    return answer


def _inspect(data: bytes, request: dict[str, Any]) -> dict[str, Any]:
    mime_type = file_types.detect(data, request["filename"])
    pages = pdf.count_pages(data) if mime_type == PDF else None
    return {"mime_type": mime_type, "pages": pages, "scanned": None}


_TASKS = {"parse": _parse, "parse_pages": _parse_pages, "inspect": _inspect}


def _parse_checked(data: bytes, mime_type: str) -> dict[str, Any]:
    document = _extract(data, mime_type)
    return {
        "text": document.content,
        "title": document.metadata.title or _html_title(data, mime_type),
        "mime_type": mime_type,
        "pages": _page_spans(document.content, document.pages or [] if mime_type in _PAGED else []),
    }


def _page_spans(text: str, pages: list[Any]) -> list[tuple[int, int, int]]:
    """(number, start, end) in characters, by looking each page up: xberg's own boundaries drift by what it trims."""
    spans, cursor = [], 0
    for page in pages:
        content = page.content.strip()
        start = text.find(content, cursor)
        end = start + len(content)
        # A page that reads differently on its own takes what lies before the next one that is found.
        spans.append((page.page_number, start, end) if start >= 0 else (page.page_number, cursor, cursor))
        cursor = max(cursor, end)
    return spans


def _html_title(data: bytes, mime_type: str) -> str | None:
    """Read by hand: xberg gives an HTML page's title only as front matter inside the text."""
    found = _TITLE.search(data[:65536]) if mime_type == file_types.HTML else None
    return " ".join(html.unescape(found[1].decode(errors="replace")).split()) if found else None


def _extract(data: bytes, mime_type: str) -> Any:
    try:
        result = asyncio.run(
            xberg.extract(xberg.ExtractInput(kind="bytes", bytes=data, mime_type=mime_type), _config(mime_type))
        )
    except (RuntimeError, ValueError, xberg.XbergError) as error:
        raise _refused(data, str(error)) from error
    if not result.results or not result.results[0].content.strip():
        raise _refused(data, "no text")
    return result.results[0]


def _config(mime_type: str) -> xberg.ExtractionConfig:
    return xberg.ExtractionConfig(
        disable_ocr=True,
        use_cache=False,
        output_format="plain" if mime_type == PLAIN else "markdown",
        pages=xberg.PageConfig(extract_pages=mime_type in _PAGED),
        concurrency=xberg.ConcurrencyConfig(max_threads=1),
        # Its front matter would turn the title into a heading of the text; images are links to elsewhere.
        html_options=xberg.ConversionOptions(extract_metadata=False, skip_images=True),
    )


def _refused(data: bytes, reason: str) -> UnreadableFile:
    """xberg's errors are prose; what the uploader can act on is told apart by the file itself."""
    if data.startswith(b"%PDF-") and b"/Encrypt" in data:
        return file_types.encrypted()
    if reason == "no text":
        return UnreadableFile(INVALID_FILE, "No text was found in the file. A scan needs text recognition (OCR) first.")
    return file_types.corrupt()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the worker, which closes the socket when it is done
    serve(socket.socket(fileno=int(sys.argv[1])))
