"""Making a connection, within a time that counts for all of it."""

from __future__ import annotations

import socket
from time import monotonic
from typing import TYPE_CHECKING

from bus.client.core.request import Endpoint
from bus.client.core.retry import not_connected

if TYPE_CHECKING:
    from ssl import SSLContext


def connect_socket(endpoint: Endpoint, *, deadline: float, tls: SSLContext | None) -> socket.socket:
    """A socket connected to *endpoint* by *deadline*, on the monotonic clock. Raises `NotConnectedError`."""
    try:
        plain = _reach(endpoint, deadline)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _secure(plain, endpoint, deadline, tls) if tls else plain
    except (OSError, ValueError) as error:  # a ValueError is of a host that no name server could know
        raise not_connected(endpoint, error) from None


def _reach(endpoint: Endpoint, deadline: float) -> socket.socket:
    """The first of the host's addresses that answers."""
    failure: OSError = OSError("the host has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM):
        plain = socket.socket(family, kind, protocol)
        try:
            plain.settimeout(left(deadline))
            plain.connect(address)
        except OSError as error:
            plain.close()
            failure = error
        else:
            return plain
    raise failure


def _secure(plain: socket.socket, endpoint: Endpoint, deadline: float, tls: SSLContext) -> socket.socket:
    try:
        plain.settimeout(left(deadline))
        return tls.wrap_socket(plain, server_hostname=endpoint.host)
    except (OSError, ValueError):
        plain.close()
        raise


def left(deadline: float) -> float:
    """Seconds until *deadline*. Raises `TimeoutError` when there are none."""
    seconds = deadline - monotonic()
    if seconds <= 0:
        raise TimeoutError("timed out")
    return seconds
