"""Counting: all that there is to count in a server, at one moment, for its metrics and for those who watch it."""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping, Sized
from dataclasses import dataclass
from pathlib import Path

from bus.consumer import ConsumerDescription
from bus.engine.base import Engine
from bus.namespace import NamespaceDescription
from bus.overview import ServerCounts
from bus.server.http.memory_limits import Memory

_STATM = Path("/proc/self/statm")
_PAGE = resource.getpagesize()


@dataclass(frozen=True, slots=True)
class Counts:
    """What there is at a moment, at *time* in ns; namespaces and durable consumers by name."""

    time: int
    server: ServerCounts
    namespaces: Mapping[str, NamespaceDescription]
    consumers: Mapping[str, ConsumerDescription]


class Counting:
    """Counts what is in *engine*, and what the server holds: connections, streams, and what is coming in."""

    def __init__(self, engine: Engine, connections: Sized, streams: Sized, incoming: Memory) -> None:
        self._engine = engine
        self._connections = connections
        self._streams = streams
        self._incoming = incoming
        self.started_at = time.time_ns()
        self._started = time.monotonic()

    async def count(self) -> Counts:
        """Everything; consumers are described in pieces, so that nobody waits for it."""
        consumers = await self._engine.consumers.describe()
        namespaces = await self._engine.namespaces()
        return Counts(
            time=time.time_ns(),
            server=await self.count_server(),
            namespaces={found.namespace: found for found in namespaces},
            consumers={found.name: found for found in consumers},
        )

    async def count_server(self) -> ServerCounts:
        """The server as a whole."""
        engine = await self._engine.counts()
        return ServerCounts(
            uptime=round(time.monotonic() - self._started, 3),
            connections=len(self._connections),
            streams=len(self._streams),
            body_memory=self._incoming.used,
            inboxes=engine.inboxes,
            inbox_bytes=engine.inbox_bytes,
            memory=_resident_bytes(),
            sync_p50=engine.sync_p50,
            sync_p99=engine.sync_p99,
        )

    def __repr__(self) -> str:
        return f"<Counting of {self._engine!r}>"


def _resident_bytes() -> int:
    """Memory that the process has, as the kernel counts it."""
    return int(_STATM.read_text().split()[1]) * _PAGE
