"""Responders: the answer to one request, which goes out when its turn comes.

Requests of one connection are answered in their order (RFC 9112, section 9.3.2), whenever each answer is
found: parts of it are kept until those before it are written.
"""

from __future__ import annotations

import asyncio
from abc import ABCMeta, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable

from bus.engine.guard import as_bus_error
from bus.errors import BusError, MalformedError
from bus.server.http.cors import Cors
from bus.server.http.request import Head
from bus.server.http.response import encode_error, encode_head

_BODILESS = (204, 304)
"""Statuses of answers that have no body, nor a length (RFC 9110, section 8.6)."""


class Carrier(asyncio.Protocol, metaclass=ABCMeta):
    """What a responder knows of the connection that carries it. A base class, because what is compiled finds its
    attributes and methods at their places there, and those of a protocol by their names.

    ``stream`` is called when a stream may go on; ``deadline`` is when the connection is looked at again, by
    the loop's clock; ``draining`` says that this answer is the last; ``cors`` is what web pages may do, ``refusals``
    how often each error was told.
    """

    __slots__ = ("cors", "deadline", "draining", "refusals", "stream", "transport", "writable")

    transport: asyncio.Transport
    stream: Callable[[], None] | None
    writable: bool
    draining: bool
    deadline: float
    cors: Cors
    refusals: Counter[str]

    @abstractmethod
    def flush(self) -> None:
        """Write what is due."""

    def pipe(self) -> Callable[[Iterable[bytes]], None]:
        """What takes the pieces of a stream; they leave at once."""
        return self.transport.writelines

    @abstractmethod
    def read_on(self) -> None:
        """Take more of a body."""

    @abstractmethod
    def takes_more(self, responder: Responder) -> bool:
        """Whether what is written to *responder* leaves at once."""

    @abstractmethod
    def give_way(self, error: BusError) -> None:
        """Refuse what is coming in, because there is no room for it."""


class Responder:
    """The answer to one request, written when its turn comes.

    *head* is None for a request that could not be read; *close* ends the connection after the answer. ``done`` says
    that the answer is complete, and ``due`` is what there is of it to write. ``on_lost`` is called if
    nobody is there to take it, ``on_failure`` if it can't go on once its head is out (without it the connection is
    cut), ``on_writable`` when `takes_more` has become true, and ``when_first`` once, when all answers before this one
    are written.

    Whatever is done to answer is done through `run`, so that nothing that is raised leaves a client waiting.
    """

    __slots__ = (
        "_begun", "close", "connection", "done", "due", "head", "on_failure", "on_lost", "on_writable", "when_first",
    )  # fmt: skip

    def __init__(self, connection: Carrier, head: Head | None, close: bool) -> None:
        self.connection = connection
        self.head = head
        self.close = close
        self.done = False
        self.due = b""
        self.on_failure: Callable[[BusError], None] | None = None
        self.on_lost: Callable[[], None] | None = None
        self.on_writable: Callable[[], None] | None = None
        self.when_first: Callable[[], None] | None = None
        self._begun = False

    def known_as(self, name: str) -> None:
        """The request is from the principal of this *name*; who logs answers notes it."""

    def respond(self, status: int, headers: str = "", body: bytes = b"", *, preflight: bool = False) -> None:
        """Send a whole answer."""
        head = self.head
        cors = self.connection.cors
        headers += cors.headers(head.section.origin, preflight=preflight) if head and head.section.origin else cors.vary
        self.close = self.close or self.connection.draining
        length = None if status in _BODILESS else len(body)
        self.due += encode_head(status, headers, length=length, close=self.close)
        if body and not (head and head.method == b"HEAD"):
            self.due += body
        self.finish()

    def run(self, call: Callable[..., object], *args: object) -> None:
        """Do *call*, which is about this answer: whatever it raises becomes the answer, or the end of it."""
        try:
            call(*args)
        except Exception as error:
            self.fail(as_bus_error(error, self.what))

    @property
    def what(self) -> str:
        """The request, without what may be secret in it."""
        return f"{self.head.method.decode()} {self.head.path!a}" if self.head else "a request that can't be read"

    def fail(self, error: BusError) -> None:
        """Answer with *error*, or break off the answer that has begun; one that spoils the connection closes it."""
        if self.done:
            return
        tell = self._refuse if not self._begun else self.on_failure or self._cut
        try:
            tell(error)
        except Exception as again:
            self._cut(as_bus_error(again, self.what))

    def _refuse(self, error: BusError) -> None:
        self.connection.refusals[error.code] += 1
        self.close |= isinstance(error, MalformedError)
        headers, body = encode_error(error, as_problem=self.head is not None and self.head.section.wants_problem)
        self.respond(error.status, headers, body)

    def _cut(self, error: BusError) -> None:
        """Nothing can be said: cut the connection, which is better than silence."""
        self.connection.transport.abort()

    def begin(self, status: int, headers: str) -> None:
        """Send the head of an answer whose body comes in pieces."""
        self._begun = True
        cors = self.connection.cors
        headers += cors.headers(self.head.section.origin) if self.head and self.head.section.origin else cors.vary
        self.write(encode_head(status, headers, length=None, close=self.close))

    def write(self, data: bytes) -> None:
        """Send a piece, or keep it until it is this answer's turn."""
        self.due += data
        self.connection.flush()

    def pipe(self) -> Callable[[Iterable[bytes]], None]:
        """What takes the pieces of a stream, once its head is out; they leave at once."""
        return self.connection.pipe()

    @property
    def takes_more(self) -> bool:
        """Whether the client takes what it is sent, so that nothing piles up."""
        return self.connection.takes_more(self)

    def finish(self) -> None:
        """The answer is complete."""
        self.done = True
        self.connection.flush()

    def await_turn(self, call: Callable[[], None]) -> None:
        """Call back as soon as all answers before this one are written."""
        self.when_first = call
        self.connection.flush()

    def lost(self) -> None:
        """The connection is gone, and with it the answer: whoever completes it later does so for nobody."""
        was_done, self.done = self.done, True
        if self.on_lost and not was_done:
            try:
                self.on_lost()
            except Exception as error:
                as_bus_error(error, self.what)


MakeResponder = Callable[[Carrier, Head | None, bool], Responder]
"""Makes who answers a request, given its head (None if it can't be read) and whether the connection closes then."""
