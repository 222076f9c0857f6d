"""Promise 13, addresses: hostile URLs lead to no connection to an address that is not public.

Here first, where every `connect` of this process can be seen, and where name servers and public web servers are played:
names lead to private addresses, to both kinds, or to another at every look-up, and public pages redirect to where they
should not. Then what needs no such play is sent through the running stack, with listeners that count who comes.
"""

import io
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from itertools import cycle
from typing import Any
from unittest.mock import patch

import httpx2

from knowledge.sources.fetching import fetch
from tenants.guarded_http import Limits, SourceFailed
from tests.e2e.conftest import Tenant
from tests.knowledge.sources.servers import site
from tests.prove.ground import Ground, in_time
from tests.prove.verdict import Verdict

#: The only addresses that may be connected to here; what stands behind them is a site of this process.
PUBLIC = ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946")
PRIVATE = (
    "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "172.31.255.254", "192.168.1.1", "169.254.169.254",
    "169.254.170.2", "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "0.0.0.0", "0.1.2.3", "224.0.0.1",
    "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1",
    "::ffff:169.254.169.254", "::ffff:100.64.0.1", "::127.0.0.1", "2002:7f00:1::1", "2002:a9fe:a9fe::1",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1",
)  # fmt: skip
#: Spellings, with the port of a listener; no name server is needed to refuse them.
SPELLINGS = (
    "http://127.0.0.1:{port}/", "http://127.1:{port}/", "http://2130706433:{port}/", "http://0x7f000001:{port}/",
    "http://0x7f.0x0.0x0.0x1:{port}/", "http://0177.0.0.1:{port}/", "http://127.0.0.1.:{port}/", "http://0:{port}/",
    "http://localhost:{port}/", "http://LOCALHOST.:{port}/", "http://[::1]:{port}/", "http://[::ffff:127.0.0.1]:{port}/",
    "http://[0:0:0:0:0:ffff:7f00:1]:{port}/", "http://[::1%25lo]:{port}/", "http://%31%32%37.0.0.1:{port}/",
    "http://１２７.０.０.１:{port}/", "http://127。0。0。1:{port}/", "http://example.org@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\@example.org/", "http://example.org:80@127.0.0.1:{port}/", "http:127.0.0.1:{port}/",
    "http://127.0.0.1:{port}#@example.org/", "http://127.0.0.1:{port}?@example.org/", "ftp://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/_GET", "file:///etc/passwd", "dict://127.0.0.1:{port}/", "http://localhost\t:{port}/",
    "http://127.0.0.1:{port}/\r\nHost: example.org", "https://127.0.0.1:{port}/",
)  # fmt: skip
_LIMITS = Limits(1000, connect_seconds=1, read_seconds=1, whole_seconds=3)


def prove(ground: Ground) -> Verdict:
    """Here first, then there."""
    violations: list[str] = []
    with _listeners() as (port, came), site() as pages:
        hostile = list(_hostile(port))
        pages.pages["/"] = (200, {}, b"public")
        reached = _try_here(hostile, pages, violations)
        sent = _send(ground, [text.format(port=port) for text in SPELLINGS], violations)
        violations += [f"somebody came to {address}" for address in came]
    figures = (
        f"{len(hostile)} hostile URLs here ({reached} connections, all to the two public addresses) and {sent} through "
        f"the stack: {len(came)} connections to listeners on loopback"
    )
    return Verdict(figures, violations)


def _hostile(port: int) -> Iterator[tuple[str, Callable[[str], list[str]], str]]:
    """(URL, the name server's answers by name, where a public page redirects to; '' is nowhere)."""
    for text in SPELLINGS:
        yield text.format(port=port), _real, ""
    for address in PRIVATE:
        yield "http://private.example/", lambda name, found=address: [found], ""
        yield "http://mixed.example/", lambda name, found=address: [PUBLIC[0], found], ""
        literal = f"[{address}]" if ":" in address else address
        yield "http://public.example/", _public, f"http://{literal}/"
        # A name server that gives another address every time it is asked.
        turns = cycle(([PUBLIC[0]], [address]))
        yield "http://rebinding.example/", lambda name, turns=turns: next(turns), "http://rebinding.example/again"
    for text in SPELLINGS:
        yield "http://public.example/", _public, text.format(port=port)


def _real(name: str) -> list[str]:
    """Loopback's names; everything else does not exist."""
    if name in ("localhost", "0"):
        return ["127.0.0.1", "::1"]
    raise socket.gaierror(socket.EAI_NONAME, "not known")


def _public(name: str) -> list[str]:
    return [PUBLIC[0]] if name.endswith(".example") or name == "example.org" else _real(name)


def _try_here(hostile: list[Any], pages: Any, violations: list[str]) -> int:
    """Fetch each; returns how many connections were made, and adds those to another than the public addresses."""
    made = []
    for url, answers, location in hostile:
        pages.pages["/"] = (302, {"Location": location.encode("ascii", "replace").decode()}, b"") if location else (
            200, {}, b"public"
        )  # fmt: skip
        with _played(answers, pages.server_address) as connected:
            try:
                fetch(url, into=io.BytesIO(), limits=_LIMITS, check=lambda: None)
            except SourceFailed:
                pass
            else:
                violations.append(f"{url!r} (→ {location!r}) was fetched")
        made += connected
        violations += [f"{url!r} (→ {location!r}) connected to {one}" for one in connected if one not in PUBLIC]
    return len(made)


@contextmanager
def _played(answers: Callable[[str], list[str]], public: tuple[str, int]) -> Iterator[list[str]]:
    """A name server that answers so, and a public internet that is one site; yields every address connected to."""
    connected: list[str] = []
    connect = socket.socket.connect

    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        try:
            found = [str(ip_address(host))]  # what is written as an address is not looked up
        except ValueError:
            found = answers(host)
        families = [socket.AF_INET6 if ":" in text else socket.AF_INET for text in found]
        return [
            (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (text, port))
            for family, text in zip(families, found, strict=True)
        ]

    def record(self: socket.socket, address: Any) -> None:
        connected.append(str(address[0]))
        if address[0] not in PUBLIC:
            raise ConnectionRefusedError
        connect(self, public)

    with patch.object(socket, "getaddrinfo", look_up), patch.object(socket.socket, "connect", record):
        yield connected


def _send(ground: Ground, urls: list[str], violations: list[str]) -> int:
    """Each URL as a customer of the running stack sends it: refused at once, or in error with a reason."""
    tenant = ground.new_tenant()
    files = {}
    for url in urls:
        answer = _post(tenant, {"url": url, "purpose": "assistants"})
        if answer.status_code == 200:
            files[answer.json()["id"]] = url
        elif answer.status_code != 400:
            violations.append(f"{url!r} was answered with {answer.status_code}")

    def ended() -> bool:
        return not any(file.status == "uploaded" for file in tenant.sdk().files.list(limit=1000) if file.id in files)

    if in_time(ended, seconds=60) is None:
        violations.append("some of them were still being fetched after a minute")
    for file in tenant.sdk().files.list(limit=1000):
        if file.status != "error" or not file.status_details:
            violations.append(f"{files.get(file.id)!r} ended {file.status}")
    return len(urls)


def _post(tenant: Tenant, body: dict[str, str]) -> Any:
    """POST /v1/files with JSON."""
    headers = {"authorization": f"Bearer {tenant.key}"}
    return httpx2.post(f"{tenant.url}/v1/files", json=body, headers=headers, timeout=30)


@contextmanager
def _listeners() -> Iterator[tuple[int, list[str]]]:
    """Listeners on loopback of both kinds, on one port; yields the port and who came where."""
    came: list[str] = []
    with ExitStack() as exits:
        first = exits.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = first.getsockname()[1]
        sockets = [first, exits.enter_context(socket.create_server(("::1", port), family=socket.AF_INET6))]
        sockets += [
            exits.enter_context(socket.create_server((address, port))) for address in ("127.0.0.2", "127.8.8.8")
        ]
        for one in sockets:
            threading.Thread(target=_count, args=(one, came), daemon=True).start()
        yield port, came


def _count(listener: socket.socket, came: list[str]) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # closed: the proof is over
            return
        came.append(str(listener.getsockname()))
        connection.close()
