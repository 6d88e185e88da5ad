"""What hears how a cluster fares."""

from __future__ import annotations

import asyncio

from bus.nats import ConnectionLostError, RefusedError


class Listening:
    """A `Listener` that can be awaited."""

    def __init__(self) -> None:
        self.losses: asyncio.Queue[ConnectionLostError] = asyncio.Queue()
        self.returns: asyncio.Queue[None] = asyncio.Queue()
        self.refusals: asyncio.Queue[RefusedError] = asyncio.Queue()

    def lost(self, error: ConnectionLostError) -> None:
        self.losses.put_nowait(error)

    def back(self) -> None:
        self.returns.put_nowait(None)

    def refused(self, error: RefusedError) -> None:
        self.refusals.put_nowait(error)
