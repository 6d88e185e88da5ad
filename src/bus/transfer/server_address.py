"""The address of a server as it was given, and a client of the server there."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from bus.errors import ConnectionFailedError, InvalidParameterError

if TYPE_CHECKING:
    from bus.client import Client
    from bus.client.core.request import Endpoint

ANSWER_SECONDS = 5.0
"""How long a command waits for the answer to something short."""


def open_client(host: str, *, timeout: float) -> Client:
    """A client of the server at *host* whose calls take *timeout* seconds at most.

    Raises `ConnectionFailedError` when nobody listens there. The client by itself would try until its time is up,
    which suits a service that starts together with its server; a person wants to know at once.
    """
    from bus.client import Client

    endpoint = parse_host(host)
    try:
        socket.create_connection((endpoint.host, endpoint.port), timeout).close()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConnectionFailedError(f"can't reach {endpoint}: {reason}; is the server running there?") from None
    return Client(host, timeout=timeout)


def parse_host(host: str) -> Endpoint:
    """Where the server at the URL *host* is. Raises `InvalidParameterError`, also for a name that none can have."""
    from bus.client.core.request import Endpoint

    endpoint = Endpoint.parse(host)
    try:
        str(endpoint)
    except UnicodeError:
        raise InvalidParameterError(f"server {host[:80]!a} can't be read: its name has an empty or long part") from None
    return endpoint
