"""The access log: a line for each request when it is answered, for a stream when it has ended.

    192.0.2.7 billing POST / 202 0 1.3ms
    192.0.2.7 - GET /?subject=app.%3E&… 200 73412 61207.9ms
    ▲         ▲                         ▲   ▲     ▲
    │         whose token it has        │   │     from its head to the end of the answer
    the client's address, or whom a     │   bytes behind the answer's head
    trusted proxy asks for              - if there was no answer

What may be secret is left out: headers, bodies, and all of a query but what says which events are meant and how.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from time import perf_counter
from urllib.parse import quote

from bus.errors import InvalidParameterError
from bus.server.http.client_address import ClientAddresses
from bus.server.http.query import parse_query
from bus.server.http.request import Head
from bus.server.http.responder import Carrier, Responder

log = logging.getLogger("bus.access")

SHOWN = frozenset((
    "subject", "start", "ack", "redelivery", "redelivery_count", "prefetch", "consumer", "order", "limit", "follow",
    "wait", "count", "timeout", "action", "delay",
))  # fmt: skip
"""The parameters whose values are shown."""

_PLAIN = "/,.*_-:"


class AccessLog:
    """Makes responders that leave a line, with the addresses that *clients* finds; *clock* tells seconds."""

    def __init__(self, clients: ClientAddresses, clock: Callable[[], float] = perf_counter) -> None:
        self._clients = clients
        self._clock = clock

    def responder(self, connection: Carrier, head: Head | None, close: bool) -> Responder:
        """Who answers the request with *head*, or one that can't be read."""
        return LoggedResponder(
            connection, head, close, clock=self._clock, address=self._clients.shown(connection, head)
        )

    def __repr__(self) -> str:
        return f"<AccessLog of {self._clients!r}>"


class LoggedResponder(Responder):
    """A responder that counts what it sends, and leaves a line at its end: with the *address* of its client, and how
    long it took by the *clock* (seconds).

    ``status`` is 0 as long as there is no answer, ``who`` is empty as long as nobody is known to ask.
    """

    __slots__ = ("_address", "_began", "_clock", "sent", "status", "who")

    def __init__(
        self, connection: Carrier, head: Head | None, close: bool, *, clock: Callable[[], float], address: str
    ) -> None:
        super().__init__(connection, head, close)
        self.who = ""
        self.status = self.sent = 0
        self._clock = clock
        self._address = address
        self._began = clock()

    def known_as(self, name: str) -> None:
        self.who = name

    def respond(self, status: int, headers: str = "", body: bytes = b"", *, preflight: bool = False) -> None:
        self.status, self.sent = status, 0 if self.head and self.head.method == b"HEAD" else len(body)
        super().respond(status, headers, body, preflight=preflight)

    def begin(self, status: int, headers: str) -> None:
        super().begin(status, headers)
        self.status, self.sent = status, 0

    def write(self, data: bytes) -> None:
        self.sent += len(data)
        super().write(data)

    def pipe(self) -> Callable[[Iterable[bytes]], None]:
        write = super().pipe()

        def counted(pieces: Iterable[bytes]) -> None:
            pieces = tuple(pieces)
            self.sent += sum(map(len, pieces))
            write(pieces)

        return counted

    def finish(self) -> None:
        if not self.done:
            self._leave_line()
        super().finish()

    def lost(self) -> None:
        if not self.done:
            self._leave_line()
        super().lost()

    def _leave_line(self) -> None:
        method, path, query = _asked(self.head)
        took = round((self._clock() - self._began) * 1000, 1)
        log.info(
            "%s %s %s %s%s %s %d %sms",
            self._address, self.who or "-", method, path, query, self.status or "-", self.sent, took,
            extra={"fields": {
                "address": self._address, "principal": self.who or None, "method": method, "path": path, "query": query,
                "status": self.status or None, "bytes": self.sent, "ms": took,
            }},
        )  # fmt: skip


def _asked(head: Head | None) -> tuple[str, str, str]:
    """Method, path and query of a request, as far as they are shown."""
    if head is None:
        return "-", "-", ""
    return head.method.decode(), quote(head.path, safe=_PLAIN), _shown(head.raw_query) if head.raw_query else ""


def _shown(raw_query: bytes) -> str:
    """What is shown of a query; an ellipsis stands for the rest."""
    try:
        query = parse_query(raw_query)
    except InvalidParameterError:
        return "?…"
    shown = [f"{name}={quote(','.join(query[name]), safe=_PLAIN)}" for name in query if name in SHOWN]
    return "?" + "&".join(shown if query.keys() <= SHOWN else [*shown, "…"])
