"""Whose request it is, and how it came: of the connection's peer, or of whom a proxy asks for that is trusted.

    client ──▶ proxy ──▶ proxy ──▶ server          X-Forwarded-For: client, proxy
                            ▲         ▲            Forwarded: for=client, for=proxy     (RFC 7239)
                            │         └ peer: trusted? then the last that it names
                            └ trusted as well? then the one before …                    X-Forwarded-Proto: https

The first one from the right that isn't trusted is the client: what stands left of it, it may have written itself. A
proxy appends to one of the two headers and may hand on the other as the client wrote it. So where both are there and
name different clients, the request is refused.

How a client reached the first proxy, the last one says, in ``X-Forwarded-Proto`` or as ``proto`` of ``Forwarded``.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Protocol

from bus.config import Network
from bus.errors import InvalidParameterError
from bus.server.http.request import Head

REMEMBERED = 4096
"""Addresses, and chains of them, for which it is remembered what they mean."""

NETWORK_BYTES = 8
"""What of an IPv6 address says whose it is: the rest, 64 bits, a host may choose as it likes."""

Address = IPv4Address | IPv6Address

_PROTO = re.compile(r'(?:^|[;,])\s*proto\s*=\s*"?(\w+)', re.IGNORECASE)
_FOR = re.compile(r'(?:^|;)\s*for\s*=\s*(?:"([^"]*)"|([^;"\s]*))', re.IGNORECASE)


@lru_cache(REMEMBERED)
def read_address(text: str) -> Address | None:
    """The address that *text* is, with a port or without, an IPv6 one in brackets or not; None if it is none."""
    bracketed, _, _ = text.removeprefix("[").partition("]")
    host = bracketed if text.startswith("[") else text if text.count(":") != 1 else text.partition(":")[0]
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(REMEMBERED)
def owner_of(address: str) -> str:
    """Whom *address* stands for where clients are counted: itself, or the network of an IPv6 one."""
    found = read_address(address)
    if isinstance(found, IPv6Address):
        return f"{IPv6Address(found.packed[:NETWORK_BYTES] + bytes(16 - NETWORK_BYTES))}/64"
    return address


class Connected(Protocol):
    """A connection, as far as it says who is at its other end."""

    @property
    def transport(self) -> asyncio.BaseTransport: ...


class ClientAddresses:
    """Tells the clients of requests apart; proxies in the networks *trusted* are believed for whom they ask."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = trusted
        self._resolve = lru_cache(REMEMBERED)(self._find_client)

    def peer(self, connection: Connected) -> str:
        """The address at the other end of *connection*; empty if it has none."""
        peer = connection.transport.get_extra_info("peername")
        return str(read_address(peer[0]) or "") if peer else ""

    def is_proxy(self, peer: str) -> bool:
        """Whether *peer* is trusted to say for whom it asks."""
        address = read_address(peer)
        return address is not None and any(address in network for network in self._trusted)

    def of(self, connection: Connected, head: Head | None) -> str:
        """The address of whoever sent the request with *head*.

        Raises `InvalidParameterError` if a trusted proxy names two.
        """
        peer = self.peer(connection)
        if not self._trusted or head is None:
            return peer
        return self._resolve(peer, head.section.header(b"forwarded"), head.section.header(b"x-forwarded-for"))

    def shown(self, connection: Connected, head: Head | None) -> str:
        """As `of`, for logs; where a proxy names two, its own address."""
        try:
            return self.of(connection, head)
        except InvalidParameterError:  # the request is refused for it where that matters
            return self.peer(connection)

    def is_secure(self, connection: Connected, head: Head | None) -> bool:
        """Whether whoever sent the request with *head* spoke TLS: to this server, or to a trusted proxy."""
        if connection.transport.get_extra_info("ssl_object") is not None:
            return True
        if head is None or not (self._trusted and self.is_proxy(self.peer(connection))):
            return False
        named: list[str] = (
            head.section.header(b"x-forwarded-proto").split(",")
            + _PROTO.findall(head.section.header(b"forwarded"))[-1:]
        )
        return named[-1].strip().lower() == "https"

    def _find_client(self, peer: str, forwarded: str, forwarded_for: str) -> str:
        named = [
            [_for(element) for element in forwarded.split(",") if element.strip()],
            [part.strip() for part in forwarded_for.split(",") if part.strip()],
        ]
        clients = {self._walk(peer, chain) for chain in named if chain}
        if len(clients) > 1:
            raise InvalidParameterError(
                "Forwarded and X-Forwarded-For name different clients: let the proxy drop the one that it doesn't write"
            )
        return clients.pop() if clients else peer

    def _walk(self, client: str, chain: list[str]) -> str:
        """The first that isn't trusted, from *client* on to the left; the last one known if the next can't be read."""
        while chain and self.is_proxy(client) and (address := read_address(chain.pop())):
            client = str(address)
        return client

    def __repr__(self) -> str:
        return f"<ClientAddresses behind {', '.join(map(str, self._trusted)) or 'no proxy'}>"


def _for(element: str) -> str:
    """Whom one element of ``Forwarded`` is for; empty if it doesn't say."""
    found = _FOR.search(element)
    return (found[1] or found[2] or "") if found else ""
