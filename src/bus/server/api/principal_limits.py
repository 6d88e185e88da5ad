"""How much each principal may ask for: rates of requests and of bytes, and what it has open at once.

    known ─▶ within its rates? ─▶ a stream: within its counts? ─▶ …
                  │ no                       │ no
                  └──────────▶ 429, Retry-After ◀┘

Limits belong to who is known by a token or a certificate, over all its connections. Whoever is anonymous is held to
those of the anonymous by address.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections import Counter, defaultdict
from functools import partial

from bus.access.limits import Limits
from bus.access.principal import Principal
from bus.errors import TooManyRequestsError
from bus.server.http.body import MakeSink
from bus.server.http.client_address import ClientAddresses, owner_of
from bus.server.http.client_limits import PacedSink, charge
from bus.server.http.rate_limit import RateLimit
from bus.server.http.request import Request
from bus.server.http.responder import Responder
from bus.units import Rate

HELD_SECONDS = 5
"""Until who has as many streams open as it may is to ask again; nobody knows when it closes one."""


class RateLimits(defaultdict[Rate, RateLimit]):
    """Those of one kind, by their rates; what somebody used of one counts on when a new file gives it the same."""

    def __missing__(self, rate: Rate) -> RateLimit:
        limit = self[rate] = RateLimit(rate)
        return limit


class PrincipalLimits:
    """Holds principals to their limits; *clients* tells those apart who are anonymous."""

    def __init__(self, clients: ClientAddresses, loop: AbstractEventLoop) -> None:
        self._clients = clients
        self._loop = loop
        self._requests = RateLimits()
        self._bytes = RateLimits()
        self.held = HeldStreams()

    def owner_of(self, principal: Principal, responder: Responder) -> str:
        """As whom *principal* counts, who sent what *responder* answers."""
        if principal.proof:
            return str(principal)
        return owner_of(self._clients.of(responder.connection, responder.head))

    def check(self, limits: Limits, request: Request, responder: Responder) -> None:
        """Charge *request* to who sent it. Raises `TooManyRequestsError` if that is over one of its *limits*."""
        owner, now = self.owner_of(request.principal, responder), self._loop.time()
        if limits.requests:
            charge(self._requests[limits.requests], owner, 1, "requests", now=now)
        if limits.bytes and request.body:
            charge(self._bytes[limits.bytes], owner, len(request.body), "bytes", now=now)

    def pace(self, make: MakeSink, request: Request, responder: Responder) -> MakeSink:
        """What *make* makes, taking the body of *request* no faster than who sends it may."""
        limits = request.principal.limits
        if limits is None or limits.bytes is None:
            return make
        owner = self.owner_of(request.principal, responder)
        return partial(PacedSink, make, limit=self._bytes[limits.bytes], owner=owner, loop=self._loop)

    def check_stream(self, principal: Principal, responder: Responder, consumer: str | None) -> None:
        """Raise `TooManyRequestsError` if *principal* may not open one more stream, of *consumer* if that is named."""
        if principal.limits:
            self.held.check(self.owner_of(principal, responder), principal.limits, consumer)

    def __repr__(self) -> str:
        return f"<PrincipalLimits, {self.held!r}>"


class HeldStreams:
    """The streams that each owner has open, counted by their durable consumers; those of none count as of ''."""

    def __init__(self) -> None:
        self._by_owner: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def begin(self, owner: str, consumer: str | None) -> None:
        """*owner* has opened one."""
        self._by_owner[owner][consumer or ""] += 1

    def end(self, owner: str, consumer: str | None) -> None:
        """One of them has ended."""
        held, name = self._by_owner[owner], consumer or ""
        held[name] -= 1
        if not held[name]:
            del held[name]
        if not held:
            del self._by_owner[owner]

    def check(self, owner: str, limits: Limits, consumer: str | None) -> None:
        """Raise `TooManyRequestsError` if one more, of *consumer* if that is named, is beyond *limits*."""
        held = self._by_owner.get(owner, Counter[str]())
        if limits.streams is not None and held.total() >= limits.streams:
            raise _over(owner, f"streams, {limits.streams} at once", "one is closed")
        if limits.consumers is None or consumer is None or consumer in held:
            return
        if len(held.keys() - {""}) >= limits.consumers:
            raise _over(owner, f"durable consumers, {limits.consumers} in use at once", "it has left one")

    def __repr__(self) -> str:
        return f"<HeldStreams of {len(self._by_owner)} owners>"


def _over(owner: str, limit: str, when: str) -> TooManyRequestsError:
    return TooManyRequestsError(
        f"{owner} is over its limit of {limit}: try again when {when}", retry_after=HELD_SECONDS
    )
