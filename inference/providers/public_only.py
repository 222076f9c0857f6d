"""Where a tenant's own deployment may lead: to public addresses, and to those that the operator allows.

The name is resolved here, checked, and the connection made to the very address that was checked, so that a name server
that answers differently the second time is not asked a second time. Redirects are not followed by any client of ours.
"""

import asyncio
import socket
from functools import lru_cache
from ipaddress import ip_address, ip_network

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from django.conf import settings

from tenants.guarded_http import Refused, Target, parse_target
from tenants.public_addresses import Address, Network, NotPublic, Unresolvable, is_public, resolve_all

from .base import ProviderError

#: Beside these, whatever a server that is no service of the system listens on.
_USUAL_PORTS = (80, 443)
_FIRST_FREE_PORT = 1024


def check_base_url(url: str) -> Target:
    """A tenant's base URL, as far as it can be checked without asking a name server.

    Raises:
        Refused: it could mean one thing here and another elsewhere, or leads to an address or a port that is not allowed.
    """
    target = parse_target(url)
    if target.scheme != "https" and not settings.TENANT_UPSTREAM_NETWORKS:
        raise Refused("The URL must begin with https://: credentials are sent there.")
    if target.port not in _USUAL_PORTS and target.port < _FIRST_FREE_PORT:
        raise Refused("The URL's port must be 80, 443, or 1024 and above.")
    if "?" in target.path or "#" in url:
        raise Refused("The URL must not have a query or a fragment.")
    try:
        address = ip_address(target.host)
    except ValueError:
        return target
    if not _may(address, plain=target.scheme == "http"):
        raise Refused("Its address is not public.")
    return target


def _may(address: Address, *, plain: bool) -> bool:
    """Public ones over TLS only; those that the operator allows either way."""
    allowed = any(address in network for network in _networks(tuple(settings.TENANT_UPSTREAM_NETWORKS)))
    return allowed or (is_public(address) and not plain)


@lru_cache(maxsize=8)
def _networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


def not_public() -> ProviderError:
    """What a call is told; the address is not."""
    text = "This deployment's base URL does not lead to a public address."
    return ProviderError(text, code="upstream_not_public", temporary=False)


def check_before_call(url: str) -> None:
    """The same again when it is called: settings change, and rows come from other doors too.

    Raises:
        ProviderError: it may not be called.
    """
    try:
        check_base_url(url)
    except Refused as error:
        raise not_public() from error


class PublicResolver(AbstractResolver):
    """Resolves and checks; aiohttp connects to what comes out of here, and to nothing else."""

    def __init__(self, *, plain: bool) -> None:
        self._plain = plain

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Every address of `host`.

        Raises:
            ProviderError: one of them is not allowed: a name with two faces is not trusted with either.
            OSError: there is none.
        """
        try:
            async with asyncio.timeout(settings.UPSTREAM_CONNECT_SECONDS):  # a TimeoutError is an OSError
                addresses = await asyncio.to_thread(resolve_all, host, port)
        except Unresolvable as error:
            raise OSError(None, "no address was found") from error
        if not all(_may(address, plain=self._plain) for address in addresses):
            raise not_public() from NotPublic(host)
        return [_result(host, port, address) for address in addresses]

    async def close(self) -> None:
        """Nothing to close."""


def _result(host: str, port: int, address: Address) -> ResolveResult:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return {"hostname": host, "host": str(address), "port": port, "family": family, "proto": 0, "flags": flags}


def connector(*, plain: bool) -> aiohttp.TCPConnector:
    """For the sessions that call tenants' deployments over TLS, or without."""
    return aiohttp.TCPConnector(limit=0, keepalive_timeout=30, ttl_dns_cache=10, resolver=PublicResolver(plain=plain))
