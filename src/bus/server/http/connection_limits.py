"""Which connections are let in, and those let in only to ask after the server's health.

    connection ─▶ within the limits? ─▶ admitted
                      │ no
                      ▼
                  reserve ─▶ GET /healthz, /readyz, /metrics: answered ─▶ closed
                      └────▶ anything else: 503 ─▶ closed

A supervisor that gets no answer restarts the server, which is the last thing that a busy one needs. The reserve is
small, and the newest connection takes the place of the oldest in it, so that nobody can fill it for long.
"""

from __future__ import annotations

import socket
from collections import Counter

from bus.errors import BusError, OverloadedError
from bus.server.http import limits
from bus.server.http.client_address import ClientAddresses, owner_of
from bus.server.http.responder import Carrier


class Admission:
    """The connections of a server: at most *most*, and from one of *clients* *most_per_address* unless that is 0.

    A proxy that is trusted to say for whom it asks has as many as it likes. ``reserve`` holds those that may ask only
    for probes, and why.
    """

    def __init__(self, most: int, most_per_address: int, clients: ClientAddresses) -> None:
        self._clients = clients
        self._connections: dict[Carrier, str] = {}
        self._most = most
        self._most_per_address = most_per_address
        self._by_address: Counter[str] = Counter()
        self.reserve: dict[Carrier, BusError] = {}

    def admit(self, connection: Carrier) -> bool:
        """Let *connection* in; False if it is one too many, and so in the reserve."""
        address = self._counted_as(connection) if self._most_per_address else ""
        refusal = self._judge(address)
        self._connections[connection] = address
        if refusal:
            self._keep_in_reserve(connection, refusal)
        else:
            self._by_address[address] += 1
        return refusal is None

    def _counted_as(self, connection: Carrier) -> str:
        """Whose *connection* is; empty for nobody's in particular."""
        peer = self._clients.peer(connection)
        return "" if self._clients.is_proxy(peer) else owner_of(peer)

    def _judge(self, address: str) -> BusError | None:
        admitted = len(self._connections) - len(self.reserve)
        if admitted >= self._most:
            return OverloadedError(f"the server holds {admitted} connections: try again shortly")
        if address and self._by_address[address] >= self._most_per_address:
            return OverloadedError(
                f"the server holds {self._most_per_address} connections of {address}: close some, or share one"
            )
        return None

    def _keep_in_reserve(self, connection: Carrier, refusal: BusError) -> None:
        self.reserve[connection] = refusal
        if len(self.reserve) > limits.RESERVED_CONNECTIONS:
            next(iter(self.reserve)).transport.abort()

    def refusal(self, connection: Carrier) -> BusError | None:
        """Why *connection* may ask only for probes, and is closed then; None if it was admitted."""
        return self.reserve.get(connection)

    def leave(self, connection: Carrier) -> None:
        """*connection* is gone."""
        address = self._connections.pop(connection, None)
        if self.reserve.pop(connection, None) is None and address is not None:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]

    def __len__(self) -> int:
        return len(self._connections)

    def __repr__(self) -> str:
        return f"<Admission of {len(self._connections)} connections, {len(self.reserve)} of them in reserve>"


def watch_peers(listener: socket.socket) -> None:
    """Have the kernel notice dead peers of the connections that *listener* accepts, which inherit its options."""
    for level, option, value in (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, limits.KEEPALIVE_IDLE),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, limits.KEEPALIVE_INTERVAL),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, limits.KEEPALIVE_PROBES),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, limits.USER_TIMEOUT_MS),
    ):
        listener.setsockopt(level, option, value)
