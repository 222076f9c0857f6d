"""Tenants' own deployments lead to public addresses only: what is checked is what is connected to."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from inference.models import Deployment, TenantDeployment
from inference.providers import public_only
from inference.providers.base import Prompt, ProviderError
from inference.providers.openai_http import close_session
from inference.providers.public_only import check_base_url
from inference.routing import provider_of
from tenants.guarded_http import Refused

PROMPT = Prompt(body={"messages": []}, max_output_tokens=5)

HOSTILE = [
    "http://llm.example.com/v1", "https://127.0.0.1/v1", "https://[::1]/v1", "https://169.254.169.254/latest",
    "https://10.0.0.5/v1", "https://[::ffff:10.0.0.5]/v1", "https://[64:ff9b::a9fe:a9fe]/v1", "https://2130706433/v1",
    "https://0x7f.1/v1", "https://user:pw@llm.example.com/v1", "https://llm.example.com:25/v1", "ftp://llm.example.com",
    "https://llm.example.com/v1?x=1", "https://llm.example.com/v1#x", "https://llm example.com", "", "file:///etc/passwd",
    "https://100.64.0.1/v1", "https://llm.example.com\\@127.0.0.1/v1",
]  # fmt: skip


@pytest.mark.parametrize("url", HOSTILE)
def test_hostile_base_urls_are_refused_before_anybody_is_asked(url: str) -> None:
    with pytest.raises(Refused):
        check_base_url(url)


def test_usual_base_urls_are_taken() -> None:
    for url in ("https://api.openai.com/v1", "https://llm.example.com:8443/v1", "https://8.8.8.8/v1"):
        assert check_base_url(url).scheme == "https"


def test_the_operator_may_allow_networks_also_without_tls(settings: Any) -> None:
    settings.TENANT_UPSTREAM_NETWORKS = ["10.1.0.0/16"]
    assert check_base_url("http://10.1.2.3:8000/v1").port == 8000
    for url in ("http://10.2.0.1/v1", "http://8.8.8.8/v1"):
        with pytest.raises(Refused):
            check_base_url(url)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes host names lead to addresses, by the system's own resolver function."""
    real = socket.getaddrinfo

    def resolve(**known: list[str]) -> None:
        def getaddrinfo(host: str, port: int, *arguments: Any, **options: Any) -> Any:
            found = known.get(host.replace(".", "_"))
            if found is None:
                return real(host, port, *arguments, **options)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return resolve


def own(base_url: str) -> TenantDeployment:
    return TenantDeployment(name="own", provider="openai", base_url=base_url, upstream_model="m", api_key="sk-secret")


async def test_a_name_that_leads_inside_is_not_called_whatever_else_it_leads_to(names: Callable[..., None]) -> None:
    names(inside_example_com=["127.0.0.1"], two_faces_example_com=["93.184.216.34", "169.254.169.254"])
    for host in ("inside.example.com", "two.faces.example.com"):
        for provider in ("openai", "openai-responses"):
            row = own(f"https://{host}:8443/v1")
            row.provider = provider
            with pytest.raises(ProviderError) as refused:
                await provider_of(row).complete(PROMPT)
            assert (refused.value.code, refused.value.temporary) == ("upstream_not_public", False)
            assert "127.0.0.1" not in refused.value.message and "169.254" not in refused.value.message
    # Rows that came by another door are checked when they are called.
    for url in ("http://localhost:8000/v1", "https://127.0.0.1:8443/v1"):
        with pytest.raises(ProviderError, match="public address"):
            await provider_of(own(url)).complete(PROMPT)
    await close_session()


async def test_the_connection_goes_to_the_address_that_was_checked(
    names: Callable[..., None], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.TENANT_UPSTREAM_NETWORKS = ["127.0.0.1/32"]
    called = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        called.append(head.split(b"\r\n")[1])
        body = b'{"choices": [{"message": {"content": "hi"}}]}'
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n")
        writer.write(b"content-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        asked = []
        names(llm_example_com=["127.0.0.1"])
        resolve_all = public_only.resolve_all

        def once(host: str, port: int) -> Any:
            asked.append(host)
            return resolve_all(host, port)

        monkeypatch.setattr(public_only, "resolve_all", once)
        completion = await provider_of(own(f"http://llm.example.com:{port}/v1")).complete(PROMPT)
        await close_session()
    assert completion.choices[0]["message"]["content"] == "hi"
    assert asked == ["llm.example.com"] and called == [b"Host: llm.example.com:%d" % port]


def test_the_platforms_own_deployments_may_stand_anywhere() -> None:
    assert provider_of(Deployment(provider="openai", base_url="http://10.0.0.5/v1"))._public is False
    assert provider_of(own("https://llm.example.com/v1"))._public is True
