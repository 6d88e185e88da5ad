"""What an event source has to know of what it reads, be that a subscription or a server that is watched.

    request() ── connected() ──▶ open ── feed() ──▶ what the state makes of the bytes
        ▲                         │  └── finished: there is no more to come
        └──── disconnected() ─────┘

The sources, `AsyncEventSource` and `EventSource`, make the connections; the state says what to ask for, whether the
answer is what was asked for, and whether another connection is worth it when one breaks.
"""

from __future__ import annotations

from typing import Protocol

from bus.client.core.request import Requests
from bus.client.core.response import Response
from bus.client.core.retry import Backoff
from bus.errors import BusError

SILENCE = 45.0
"""Seconds without a byte after which a connection counts as broken, unless heartbeats are rarer than three in it."""

_HEARTBEATS = 3


def longest_silence(heartbeat: float) -> float:
    """Seconds without a byte after which a connection is broken on which there is one every *heartbeat* seconds."""
    return max(SILENCE, _HEARTBEATS * heartbeat)


class SourceState(Protocol):
    """Bytes in, over as many connections as it takes.

    ``silence`` is after how many seconds without a byte a connection counts as broken, ``backoff`` how long to wait
    before the next one, and ``finished`` that no other is needed.
    """

    silence: float
    backoff: Backoff
    finished: bool

    @property
    def stands(self) -> bool:
        """Whether what answered the last request was found to be Bus."""

    @property
    def full(self) -> bool:
        """Whether so much waits to be taken that no more should be received until then."""

    def request(self, requests: Requests) -> bytes:
        """What the next connection asks for, as one of *requests*."""

    def connected(self, head: Response) -> None:
        """A connection was answered by *head*. Raises `NotBusError` if that isn't the head of a stream."""

    def feed(self, data: bytes) -> None:
        """Take in the next bytes. Raises a `ConnectionFailedError` or `TooLargeError` that ends the connection."""

    def disconnected(self) -> None:
        """The connection is gone."""

    def goes_on(self, error: BusError) -> bool:
        """Whether to make another connection after one that broke by *error*."""

    def closed(self) -> None:
        """Nobody reads any more. May be called more than once."""

    def forked(self) -> None:
        """This is a child's copy: the connection is its parent's."""
