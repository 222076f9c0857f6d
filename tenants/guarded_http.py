"""One HTTP request to a URL that a tenant named: parsed strictly, resolved and checked here, sent to the very address
that was checked, over in a limited time. Knows no proxy, no cookie, no credential, and follows no redirect.

The name is resolved once for each request and never again: a name server that answers differently the second time
(DNS rebinding) is not asked a second time.
"""

import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import unquote

from urllib3 import BaseHTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import DecodeError, HTTPError, LocationParseError, NewConnectionError, SSLError
from urllib3.exceptions import TimeoutError as HTTPTimeoutError
from urllib3.util import parse_url

from . import public_addresses
from .public_addresses import Address

USER_AGENT = "Atrium/1.0 (document fetcher)"
MAX_URL_LENGTH = 4096
_PORTS = {"http": 80, "https": 443}
_READ_BYTES = 64 * 1024
_BROKEN = (OSError, HTTPException, HTTPError)


class SourceFailed(Exception):
    """Nothing came of it. The message may be shown to the tenant: it names the host, and neither path nor address."""

    permanent = True

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Refused(SourceFailed):
    """It will not work another time either: a bad URL, an address that is not public, a certificate, a limit."""


class Unreachable(SourceFailed):
    """The other side is away, slow or overloaded: another attempt may help."""

    permanent = False


@dataclass(frozen=True)
class Limits:
    """How much may come, in bytes after decoding, and how long it may take. `whole_seconds` is from start to end.

    `networks` may be connected to though they are not public; None: `FETCH_ALLOWED_NETWORKS`.
    """

    content_bytes: int
    connect_seconds: float = 5.0
    read_seconds: float = 20.0
    whole_seconds: float = 300.0
    networks: Sequence[str] | None = None


@dataclass(frozen=True)
class Target:
    """A checked URL. `path` has the query; `host` is ASCII, lower case, without brackets and trailing dot."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """For the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def filename(self) -> str:
        """The last part of the path; empty where it ends in a slash."""
        return unquote(self.path.partition("?")[0].rpartition("/")[2], errors="replace")


def parse_target(url: str) -> Target:
    """Read a URL, or refuse what could mean one thing here and another elsewhere.

    Raises:
        Refused: not http(s), too long, with a user or password, or with a host in an odd form.
    """
    if len(url) > MAX_URL_LENGTH:
        raise Refused(f"The URL has more than {MAX_URL_LENGTH:,} characters.")
    if re.search(r"[\x00-\x20\x7f-\xa0\\\ud800-\udfff]", url):
        raise Refused("The URL has spaces, control characters or backslashes in it.")
    try:
        parts = parse_url(url)
    except LocationParseError as error:
        raise Refused("The URL cannot be understood.") from error
    if parts.scheme not in _PORTS or not url.lower().startswith(f"{parts.scheme}://"):
        raise Refused("The URL must begin with http:// or https://.")
    authority = re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0]
    if "@" in authority:
        raise Refused("The URL must not contain a user name or password.")
    if "%" in authority:
        raise Refused("The URL's host must be written without percent signs.")
    port = _PORTS[parts.scheme] if parts.port is None else parts.port
    return Target(parts.scheme, _host(parts.host or ""), port, parts.request_uri)


def _host(text: str) -> str:
    host = text.lower().removesuffix(".")
    if text.startswith("["):
        try:
            return str(IPv6Address(text.strip("[]")))
        except ValueError as error:
            raise Refused("The URL's host is not an IP address.") from error
    if not host or not host.isascii() or ".." in host or host.startswith("."):
        raise Refused("The URL has no host that can be understood.")
    if re.fullmatch(r"0x[0-9a-f]*|[0-9]+", host.rpartition(".")[2]):
        # C libraries read 2130706433, 0x7f.1 and 0177.0.0.1 as addresses; here an address has four decimal numbers.
        try:
            return str(IPv4Address(host))
        except ValueError as error:
            raise Refused("The URL's host looks like an IP address, but is not written as one.") from error
    return host


def check_target(url: str, networks: Sequence[str] | None = None) -> Target:
    """`parse_target`, and a look at an address that stands in the URL itself; where names lead is seen by `send`.

    Args:
        networks: as in `Limits`.

    Raises:
        Refused: it cannot work.
    """
    target = parse_target(url)
    try:
        address = ip_address(target.host)
    except ValueError:
        return target
    if not public_addresses.is_public(address) and not public_addresses.is_allowed(address, networks):
        raise Refused("Its address is not public.")
    return target


class Exchange:
    """An answer whose body has not been read yet. Close it: the connection ends with it."""

    def __init__(self, target: Target, connection: HTTPConnection, cut: "_Cut", answer: BaseHTTPResponse) -> None:
        self.target = target
        self.answer = answer
        self._connection = connection
        self._cut = cut

    def close(self) -> None:
        """End the connection, at once."""
        self._cut.cancel()
        self.answer.close()
        self._connection.close()

    def content(self, *, limit: int, too_large: str) -> Iterator[bytes]:
        """The body in pieces, decoded by its Content-Encoding, never more than `limit` bytes.

        Raises:
            Refused: there is more, which `too_large` says; or it is not encoded as it claims.
            Unreachable: the connection broke or took too long.
        """
        received = 0
        while True:
            with _told(self.target, self._cut):
                part = self.answer.read1(_READ_BYTES, decode_content=True)
            if not part:
                return
            received += len(part)
            if received > limit:
                raise Refused(too_large)
            yield part


def send(
    target: Target,
    *,
    deadline: float,
    limits: Limits,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Exchange:
    """Send one request and return once the head of the answer is there.

    Args:
        deadline: of the whole exchange, body included, by `time.monotonic()`.

    Raises:
        Refused: the host is not public, the port not allowed, or its certificate not good for it.
        Unreachable: nobody answered in time.
    """
    addresses = _addresses(target, limits.networks)
    with _told(target):
        connection = _connect(target, addresses, deadline, limits)
    cut = _Cut(connection, deadline)
    try:
        with _told(target, cut):
            connection.timeout = limits.read_seconds
            sent = {"Host": target.authority, "User-Agent": USER_AGENT, **(headers or {})}
            connection.request(method, target.path, body=body, headers=sent, preload_content=False)
            return Exchange(target, connection, cut, connection.getresponse())
    except BaseException:
        cut.cancel()
        connection.close()
        raise


def _addresses(target: Target, networks: Sequence[str] | None) -> list[Address]:
    try:
        found = public_addresses.resolve(target.host, target.port, networks)
    except public_addresses.NotPublic as error:
        raise Refused(f"{target.host} does not lead to a public address.") from error
    except public_addresses.Unresolvable as error:
        failure = Refused if error.permanent else Unreachable
        raise failure(f"No address was found for {target.host}.") from error
    allowed = all(public_addresses.is_allowed(address, networks) for address in found)
    if target.port not in _PORTS.values() and not allowed:
        raise Refused("The URL's port must be 80 or 443.")
    return found


def _connect(target: Target, addresses: list[Address], deadline: float, limits: Limits) -> HTTPConnection:
    """To the first address that answers."""
    failure: Exception = TimeoutError()
    for address in addresses:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        connection = _connection(target, str(address), min(left, limits.connect_seconds))
        try:
            connection.connect()
        except (SSLError, ssl.SSLError):
            connection.close()
            raise
        except _BROKEN as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure


def _connection(target: Target, address: str, timeout: float) -> HTTPConnection:
    """Not connected yet; `timeout` bounds the TCP connect, and after it the TLS handshake as a whole."""
    if target.scheme == "http":
        return HTTPConnection(address, target.port, timeout=timeout)
    # The system's certificates; the name is checked, and sent (SNI), though the connection goes to the address.
    return HTTPSConnection(
        address,
        target.port,
        timeout=timeout,
        ssl_context=ssl.create_default_context(),
        server_hostname=target.host,
    )


class _Cut:
    """Cuts a connection at a deadline: a server that sends a byte now and then would never run into a timeout."""

    def __init__(self, connection: HTTPConnection, deadline: float) -> None:
        self.done = threading.Event()
        # http.client forgets the socket of an answer that ends with the connection, so it is kept here.
        self._socket: socket.socket = connection.sock
        self._timer = threading.Timer(max(0.0, deadline - time.monotonic()), self._now)
        self._timer.daemon = True
        self._timer.start()

    def cancel(self) -> None:
        """It was in time."""
        self._timer.cancel()

    def _now(self) -> None:
        self.done.set()
        try:
            # Of the plain socket: SSLSocket's would forget the TLS state that the reading thread is using.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        except OSError:  # closed by either side meanwhile
            return


@contextmanager
def _told(target: Target, cut: _Cut | None = None) -> Iterator[None]:
    """Turn what sockets, TLS and HTTP raise into what may be shown; a cut looks like the end of the body, too."""
    try:
        yield
    except (SSLError, ssl.SSLError) as error:
        if cut is None or not cut.done.is_set():
            if isinstance(getattr(error, "__cause__", None) or error, ssl.SSLCertVerificationError):
                raise Refused(f"The certificate of {target.host} is not valid for it.") from error
            raise Unreachable(f"The encrypted connection to {target.host} failed.") from error
    except DecodeError as error:
        raise Refused(f"{target.host} sent content that is not encoded as it says.") from error
    except NewConnectionError as error:  # which urllib3 counts among its timeouts
        raise Unreachable(f"The connection to {target.host} failed.") from error
    except (TimeoutError, HTTPTimeoutError) as error:
        raise Unreachable(f"{target.host} took too long to answer.") from error
    except _BROKEN as error:
        if cut is None or not cut.done.is_set():
            raise Unreachable(f"The connection to {target.host} failed.") from error
    if cut is not None and cut.done.is_set():
        raise Unreachable(f"{target.host} took too long to send its answer.")
