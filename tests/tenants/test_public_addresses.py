"""What counts as public, whatever an address is wrapped in."""

import socket
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.public_addresses import NotPublic, Unresolvable, is_allowed, is_public, resolve, unwrapped

PUBLIC = [
    "1.1.1.1", "8.8.8.8", "93.184.216.34", "172.15.255.255", "172.32.0.0", "100.63.255.255", "100.128.0.0",
    "169.253.255.255", "192.167.255.255", "223.255.255.255", "2606:4700:4700::1111", "2001:4860:4860::8888",
    "2001:200::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1",
]  # fmt: skip
NOT_PUBLIC = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254",
    "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1",
    "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255",
    "240.0.0.1", "255.255.255.255", "168.63.129.16",
    "::", "::1", "::127.0.0.1", "::7f00:1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1",
    "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:2::1", "2001:10::1", "2001:db8::1", "3fff::1",
    "5f00::1", "64:ff9b:1::a00:1", "4000::1",
    "::ffff:127.0.0.1", "::ffff:100.64.0.1", "::ffff:a9fe:a9fe", "::ffff:0:0", "2002:a9fe:a9fe::", "2002:7f00:1::1",
    "2002:a00:1::1", "64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1", "64:ff9b::c0a8:1",
]  # fmt: skip


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_public(text):
    assert is_public(ip_address(text))


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_the_others_are_not(text):
    assert not is_public(ip_address(text))


@given(st.ip_addresses(v=4))
def test_wrapping_an_address_does_not_change_the_verdict(address):
    number = int(address)
    for wrapped in (0xFFFF << 32 | number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80 | 1):
        wrapped = ip_address(wrapped.to_bytes(16, "big"))
        assert unwrapped(wrapped) == address
        assert is_public(wrapped) == is_public(address)


def test_the_operator_may_allow_networks(settings):
    settings.FETCH_ALLOWED_NETWORKS = ["10.1.0.0/16", "fd00::/8"]
    assert is_allowed(ip_address("10.1.2.3")) and is_allowed(ip_address("fd00::1"))
    assert not is_allowed(ip_address("10.2.0.1")) and not is_allowed(ip_address("::ffff:10.1.2.3"))
    settings.FETCH_ALLOWED_NETWORKS = []
    assert not is_allowed(ip_address("10.1.2.3"))


def test_a_name_with_one_private_address_among_public_ones_is_refused(monkeypatch):
    entries = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, 80)) for text in ("8.8.8.8", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: entries)
    with pytest.raises(NotPublic):
        resolve("two-faced.example", 80)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: entries[:1])
    assert resolve("one-faced.example", 80) == [ip_address("8.8.8.8")]


@pytest.mark.parametrize(("number", "permanent"), [(socket.EAI_NONAME, True), (socket.EAI_AGAIN, False)])
def test_a_name_without_an_address_says_whether_to_ask_again(monkeypatch, number, permanent):
    def nothing(*args, **kwargs):
        raise socket.gaierror(number, "nothing")

    monkeypatch.setattr(socket, "getaddrinfo", nothing)
    with pytest.raises(Unresolvable) as error:
        resolve("gone.example", 80)
    assert error.value.permanent is permanent


def test_a_name_that_is_no_name_has_no_address():
    with pytest.raises(Unresolvable) as error:
        resolve("a" * 64 + ".example", 80)
    assert error.value.permanent
