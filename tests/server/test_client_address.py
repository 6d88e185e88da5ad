"""Whose request it is, whatever proxies and clients write into it."""

from __future__ import annotations

from ipaddress import ip_network
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.config.network_values import parse_networks
from bus.errors import ConfigError, InvalidParameterError
from bus.server.http.client_address import ClientAddresses, Connected, owner_of, read_address
from bus.server.http.request import Head, read_head

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


class _Transport:
    """Knows only who is at its other end, and whether TLS is spoken."""

    def __init__(self, peer: str, *, tls: bool) -> None:
        self._info = {"peername": (peer, 4711), "ssl_object": object() if tls else None}

    def get_extra_info(self, name: str) -> object:
        return self._info[name]


class _Connection:
    def __init__(self, peer: str, *, tls: bool = False) -> None:
        self.transport = _Transport(peer, tls=tls)


def _head(*headers: str) -> Head:
    return read_head("\r\n".join(["GET / HTTP/1.1", "Host: bus", *headers, "", ""]).encode())


def client(peer: str, *headers: str) -> str:
    return ClientAddresses(PROXIES).of(cast(Connected, _Connection(peer)), _head(*headers))


@pytest.mark.parametrize(
    ("peer", "headers", "secure"),
    [
        ("192.0.2.1", [], False),
        ("192.0.2.1", ["X-Forwarded-Proto: https"], False),  # whoever isn't trusted is not believed
        ("10.0.0.1", [], False),
        ("10.0.0.1", ["X-Forwarded-Proto: https"], True),
        ("10.0.0.1", ["X-Forwarded-Proto: HTTPS"], True),
        ("10.0.0.1", ["X-Forwarded-Proto: http"], False),
        ("10.0.0.1", ["X-Forwarded-Proto: https, http"], False),  # the last proxy wrote the last
        ("10.0.0.1", ["X-Forwarded-Proto: http", "X-Forwarded-Proto: https"], True),
        ("10.0.0.1", ["Forwarded: for=203.0.113.7;proto=https"], True),
        ("10.0.0.1", ['Forwarded: proto=https, for=203.0.113.7; Proto="http"'], False),
        ("10.0.0.1", ["Forwarded: for=203.0.113.7"], False),
    ],
)
def test_how_a_request_came_is_what_a_trusted_proxy_says(peer: str, headers: list[str], secure: bool) -> None:
    clients, connection = ClientAddresses(PROXIES), cast(Connected, _Connection(peer))
    assert clients.is_secure(connection, _head(*headers)) is secure
    assert not clients.is_secure(connection, None)
    assert clients.is_secure(cast(Connected, _Connection(peer, tls=True)), _head(*headers))
    assert not ClientAddresses([]).is_secure(connection, _head(*headers))


@pytest.mark.parametrize(
    ("peer", "headers", "found"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("::ffff:192.0.2.1", [], "192.0.2.1"),
        ("fe80::1%eth0", [], "fe80::1"),
        ("192.0.2.1", ["X-Forwarded-For: 203.0.113.7"], "192.0.2.1"),  # whoever isn't trusted is not believed
        ("192.0.2.1", ["Forwarded: for=203.0.113.7"], "192.0.2.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["X-Forwarded-For: 203.0.113.7"], "203.0.113.7"),
        ("::ffff:10.0.0.1", ["X-Forwarded-For: 203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["X-Forwarded-For: 198.51.100.9, 203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["X-Forwarded-For: 198.51.100.9", "X-Forwarded-For: 203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["X-Forwarded-For: 203.0.113.7, 10.2.3.4, fd00::5"], "203.0.113.7"),
        ("10.0.0.1", ["X-Forwarded-For: 10.2.3.4, 10.2.3.5"], "10.2.3.4"),
        ("10.0.0.1", ["X-Forwarded-For: 203.0.113.7:55000"], "203.0.113.7"),
        ("10.0.0.1", ["X-Forwarded-For: [2001:db8::1]:55000"], "2001:db8::1"),
        ("10.0.0.1", ["X-Forwarded-For: 2001:db8::1"], "2001:db8::1"),
        ("10.0.0.1", ["X-Forwarded-For: unknown"], "10.0.0.1"),
        ("10.0.0.1", ["X-Forwarded-For: 203.0.113.7, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["X-Forwarded-For: 203.0.113.7, unknown, 10.2.3.4"], "10.2.3.4"),
        ("10.0.0.1", ["X-Forwarded-For: ,"], "10.0.0.1"),
        ("fd00::1", ["Forwarded: for=203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ['Forwarded: For="[2001:db8:cafe::17]:4711"'], "2001:db8:cafe::17"),
        ("10.0.0.1", ["Forwarded: for=198.51.100.9;proto=http, by=10.0.0.9; FOR=203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["Forwarded: by=203.0.113.43"], "10.0.0.1"),
        ("10.0.0.1", ["Forwarded: for=_hidden"], "10.0.0.1"),
        ("10.0.0.1", ['Forwarded: for="198.51.100.9', "Forwarded: for=203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["Forwarded: for=203.0.113.7", "X-Forwarded-For: 203.0.113.7, 10.3.3.3"], "203.0.113.7"),
    ],
)
def test_the_client_is_the_last_that_is_not_a_trusted_proxy(peer: str, headers: list[str], found: str) -> None:
    assert client(peer, *headers) == found


@pytest.mark.parametrize(
    "headers",
    [
        ["Forwarded: for=198.51.100.9", "X-Forwarded-For: 203.0.113.7"],
        ["Forwarded: for=unknown", "X-Forwarded-For: 203.0.113.7"],
        ["Forwarded: nonsense", "X-Forwarded-For: 203.0.113.7"],
    ],
)
def test_headers_that_contradict_each_other_are_refused(headers: list[str]) -> None:
    with pytest.raises(InvalidParameterError, match="name different clients"):
        client("10.0.0.1", *headers)
    assert client("192.0.2.1", *headers) == "192.0.2.1"


@given(st.lists(st.sampled_from(["198.51.100.9", "10.9.9.9", "unknown", "", "for=1.2.3.4", '"', "::1"])))
def test_nothing_that_a_client_writes_gives_it_another_address(written: list[str]) -> None:
    forged = ", ".join(written)
    assert client("10.0.0.1", f"X-Forwarded-For: {forged}, 203.0.113.7") == "203.0.113.7"
    assert client("10.0.0.1", f"Forwarded: {forged}, for=203.0.113.7") == "203.0.113.7"


@given(st.ip_addresses())
def test_addresses_are_read_with_and_without_ports(address: object) -> None:
    text = f"[{address}]" if ":" in str(address) else str(address)
    assert read_address(text) == read_address(f"{text}:2021") == read_address(str(address))


def test_an_ipv6_address_counts_as_its_network() -> None:
    assert owner_of("2001:db8:1:2:3:4:5:6") == owner_of("2001:db8:1:2::") == "2001:db8:1:2::/64"
    assert owner_of("192.0.2.1") == "192.0.2.1"


@pytest.mark.parametrize("text", ["10.0.0.0/33", "10.0.0.1/8", "proxy.example.org", "10.0.0.0/8 ::1"])
def test_networks_that_can_not_be_read(text: str) -> None:
    with pytest.raises(ConfigError, match=r"write them like 10\.0\.0\.0/8"):
        parse_networks(text)
