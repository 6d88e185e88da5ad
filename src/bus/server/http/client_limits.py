"""How much each client's address may ask and send: requests, and bytes of their bodies.

    request ─▶ within both rates? ── yes ─▶ charged ─▶ …
                    │ no
                    ▼
                  429, Retry-After

A body that comes whole is charged when it is there, and may take more than is left: the next request waits for that.
One that is taken as it comes is left in the socket for as long as its client is ahead of its rate.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable, Set
from functools import partial
from math import ceil

from bus.errors import BusError, TooManyRequestsError
from bus.server.http.body import MakeSink
from bus.server.http.client_address import ClientAddresses, owner_of
from bus.server.http.limits import UPLOAD_IDLE_SECONDS
from bus.server.http.rate_limit import RateLimit
from bus.server.http.request import Request
from bus.server.http.responder import Responder
from bus.units import Rate

LONGEST_PAUSE = UPLOAD_IDLE_SECONDS / 2
"""Seconds that a body is left alone at a time, lest it be taken for one that its client doesn't send."""


class ClientLimits:
    """Holds each of *clients* to so many *requests* and *bytes*; None is no limit. *exempt* are paths without any."""

    def __init__(
        self,
        clients: ClientAddresses,
        *,
        requests: Rate | None,
        bytes: Rate | None,
        exempt: Set[str],
        loop: AbstractEventLoop,
    ) -> None:
        self._clients = clients
        self._exempt = exempt
        self._requests = RateLimit(requests) if requests else None
        self._bytes = RateLimit(bytes) if bytes else None
        self._loop = loop

    def check(self, request: Request, responder: Responder) -> None:
        """Charge *request* to its client. Raises `TooManyRequestsError` if that is over its limit."""
        if request.head.path in self._exempt:
            return
        owner, now = self._owner(request, responder), self._loop.time()
        if self._requests is not None:
            charge(self._requests, owner, 1, "requests", now=now)
        if self._bytes is not None and request.body:
            charge(self._bytes, owner, len(request.body), "bytes", now=now)

    def _owner(self, request: Request, responder: Responder) -> str:
        return owner_of(self._clients.of(responder.connection, request.head))

    def pace(self, make: MakeSink, request: Request, responder: Responder) -> MakeSink:
        """What *make* makes, taking the body of *request* no faster than its client may send."""
        limit = self._bytes
        if limit is None:
            return make
        owner = self._owner(request, responder)
        return partial(PacedSink, make, limit=limit, owner=owner, loop=self._loop)

    def __repr__(self) -> str:
        return f"<ClientLimits {self._requests!r}, {self._bytes!r}>"


def charge(limit: RateLimit, owner: str, amount: int, what: str, *, now: float) -> None:
    """*owner* asks for *amount* of *what*. Raises `TooManyRequestsError` if it has to wait for more."""
    if wait := limit.wait(owner, now=now):
        seconds = ceil(wait)
        raise TooManyRequestsError(
            f"{owner} is over its limit of {what}, {limit.rate}: try again in {seconds}s", retry_after=seconds
        )
    limit.charge(owner, amount, now=now)


class PacedSink:
    """Hands a body on to what *make* makes, charges it to *owner*, and has *read_on* called no sooner than it may."""

    def __init__(
        self, make: MakeSink, read_on: Callable[[], None], *, limit: RateLimit, owner: str, loop: AbstractEventLoop
    ) -> None:
        self._limit = limit
        self._owner = owner
        self._loop = loop
        self._read_on = read_on
        self._timer: TimerHandle | None = None
        self._sink = make(self._takes_more)

    def feed(self, data: bytes) -> bool:
        self._limit.charge(self._owner, len(data), now=self._loop.time())
        return self._sink.feed(data) and not self._pauses()

    def _takes_more(self) -> None:
        """The sink takes more; so does this one, as soon as its client may send it."""
        if not self._pauses():
            self._read_on()

    def _pauses(self) -> bool:
        """Whether the client is ahead of its rate; then more is taken as soon as it isn't."""
        wait = self._limit.wait(self._owner, now=self._loop.time())
        if wait and not self._timer:
            self._timer = self._loop.call_later(min(wait, LONGEST_PAUSE), self._go_on)
        return self._timer is not None

    def _go_on(self) -> None:
        self._timer = None
        self._read_on()

    def finish(self) -> None:
        self._end_pause()
        self._sink.finish()

    def fail(self, error: BusError) -> None:
        self._end_pause()
        self._sink.fail(error)

    def _end_pause(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def __repr__(self) -> str:
        return f"<PacedSink of {self._owner} for {self._sink!r}>"
