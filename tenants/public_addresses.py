"""Which addresses Atrium may connect to on a tenant's behalf: the public ones, and those that the operator allows.

Python's `is_global` is not enough: it passes `::ffff:100.64.0.1`, `2002:a9fe:a9fe::` and `64:ff9b::a9fe:a9fe`, which
all lead to an IPv4 address that is not public. So addresses that carry another are unwrapped first.
"""

import socket
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from django.conf import settings

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# The special-purpose registries of IANA, and what clouds keep for themselves.
_NOT_PUBLIC_4 = [
    IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
        "168.63.129.16/32",  # Azure's own services, on an address that is otherwise like any other
    )
]  # fmt: skip
_PUBLIC_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = [IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "3fff::/20")]  # 2001::/32 is Teredo
_MAPPED, _NAT64, _SIX_TO_FOUR = IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"), IPv6Network("2002::/16")


class NotPublic(Exception):
    """A name leads to an address that is not public."""


class Unresolvable(Exception):
    """A name has no address. `permanent`: the name does not exist; otherwise nobody could say for the moment."""

    def __init__(self, *, permanent: bool) -> None:
        super().__init__()
        self.permanent = permanent


def unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 one carries (mapped, NAT64, 6to4), or the address itself."""
    if isinstance(address, IPv6Address):
        if address in _MAPPED or address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
        if address in _SIX_TO_FOUR:
            return IPv4Address(int(address) >> 80 & 0xFFFFFFFF)
    return address


def is_public(address: Address) -> bool:
    """Whether everybody on the internet would mean the same host by it."""
    inner = unwrapped(address)
    if isinstance(inner, IPv4Address):
        return inner.is_global and not any(inner in network for network in _NOT_PUBLIC_4)
    zoned = inner.scope_id is not None
    return not zoned and inner in _PUBLIC_6 and not any(inner in network for network in _NOT_PUBLIC_6)


def is_allowed(address: Address, networks: Sequence[str] | None = None) -> bool:
    """Whether the operator allows it, public or not. What it carries does not count.

    Args:
        networks: the setting that says so; `FETCH_ALLOWED_NETWORKS` by default.
    """
    allowed = settings.FETCH_ALLOWED_NETWORKS if networks is None else networks
    return any(address in network for network in _networks(tuple(allowed)))


@lru_cache(maxsize=8)
def _networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


def resolve(host: str, port: int, networks: Sequence[str] | None = None) -> list[Address]:
    """Every address of `host`, all of them checked; connect to these and never to the name.

    Args:
        networks: as for `is_allowed`.

    Raises:
        NotPublic: one of them is neither public nor allowed: a name with two faces is not trusted with either.
        Unresolvable: there is none.
    """
    addresses = resolve_all(host, port)
    if not all(is_public(address) or is_allowed(address, networks) for address in addresses):
        raise NotPublic(host)
    return addresses


def resolve_all(host: str, port: int) -> list[Address]:
    """Every address of `host`, unchecked.

    Raises:
        Unresolvable: there is none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except socket.gaierror as error:
        raise Unresolvable(permanent=error.errno in (socket.EAI_NONAME, socket.EAI_FAIL)) from error
    except UnicodeError as error:  # a label of more than 63 bytes
        raise Unresolvable(permanent=True) from error
    return list(dict.fromkeys(ip_address(entry[4][0]) for entry in found))
