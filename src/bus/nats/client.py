"""All that a client of NATS has, over one connection."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from bus.nats.address import Location
from bus.nats.api import JetStream
from bus.nats.cluster import Cluster, Listener
from bus.nats.connection import Options
from bus.nats.credentials import Credentials
from bus.nats.errors import UnsuitableError
from bus.nats.requests import Requests

OLDEST_VERSION = (2, 12)


@dataclass(frozen=True, slots=True)
class Client:
    """A cluster, requests over it, and JetStream over these."""

    cluster: Cluster
    requests: Requests
    jetstream: JetStream

    async def close(self) -> None:
        """Send what is written, and disconnect."""
        await self.cluster.close()


async def connect(
    location: Location,
    *,
    credentials: Credentials | None = None,
    tls: ssl.SSLContext | None = None,
    name: str = "",
    listener: Listener | None = None,
    connect_seconds: float = 1.0,
    beat: float = 1.0,
) -> Client:
    """Connect to a server of *location*, of which *listener* hears when it is lost and another is back.

    *tls* is what to speak TLS by, else it is the system's if *location* begins with ``tls://``. Raises
    `CannotConnectError`, or `UnauthorizedError` if a server doesn't take the credentials.
    """
    tls = tls or (ssl.create_default_context() if location.tls else None)
    shown = credentials or Credentials.of(location)
    options = Options(name=name, credentials=shown, tls=tls, connect_seconds=connect_seconds, beat=beat)
    cluster = Cluster(location.servers, options)
    requests = Requests(cluster)
    await cluster.connect()
    if listener is not None:
        cluster.listen(listener)
    return Client(cluster, requests, JetStream(requests))


def check_server(cluster: Cluster, *, max_payload: int = 0) -> None:
    """Raises `UnsuitableError` if the server is too old, has no JetStream or takes less than *max_payload* bytes."""
    info = cluster.info
    if _version(info.version) < OLDEST_VERSION:
        oldest = ".".join(map(str, OLDEST_VERSION))
        raise UnsuitableError(f"nats-server {info.version} at {cluster.address} is too old: use {oldest} or newer")
    if not info.jetstream:
        raise UnsuitableError(
            f'nats-server at {cluster.address} has no JetStream: add "jetstream {{}}" to its settings'
        )
    if info.max_payload < max_payload:
        line = f'set "max_payload: {max_payload}" or more on each server'
        raise UnsuitableError(f"nats-server at {cluster.address} takes {info.max_payload} bytes at most: {line}")


def _version(text: str) -> tuple[int, ...]:
    numbers = text.partition("-")[0].split(".")
    return tuple(int(number) for number in numbers if number.isdecimal())
