"""Connections that send bytes and count what comes back.

Clients made for programs would be measured instead of the servers, so answers and events are counted by a marker
that each of them holds once, and read only where the work needs what they say.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from time import perf_counter

CHUNK = 1 << 18
PATIENCE = 120.0
"""Seconds after which a load that gets no further fails."""


class LoadError(Exception):
    """A load didn't get the answers it waited for."""


class Wire:
    """One connection to the server on *port*; *marker* is what is counted in the bytes that come."""

    def __init__(self, port: int, marker: bytes, greeting: bytes = b"") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.count = 0
        self.observe: Callable[[bytes], object] = len
        """Called with the bytes that came, once they are counted."""
        self._marker = marker
        self._tail = b""
        self._unsent = memoryview(b"")
        self._selector: selectors.BaseSelector | None = None
        self.send(greeting)

    def send(self, data: bytes) -> None:
        """Send *data*, at once or when the socket takes it."""
        blocked = bool(self._unsent)
        self._unsent = memoryview(bytes(self._unsent) + data if blocked else data)
        if not blocked:
            self.flush()

    def flush(self) -> None:
        """Send what the socket takes of what is unsent."""
        if self._unsent:
            with suppress(BlockingIOError):
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
        self._watch()

    def receive(self) -> None:
        """Read what is there, count it and hand it to `took`. Raises `LoadError` if the connection has ended."""
        data = self.socket.recv(CHUNK)
        if not data:
            raise LoadError(f"the server closed a connection after {self._tail[-200:]!r}")
        data = self._tail + data
        found = data.count(self._marker)
        self.count += found
        self._tail = self.took(data, found)
        self.observe(data)

    def took(self, data: bytes, found: int) -> bytes:
        """Act on *data*, in which the marker was *found* so often; returns what is to come again before the next."""
        return data[len(data) - len(self._marker) + 1 :]

    def watch(self, selector: selectors.BaseSelector) -> None:
        """Be driven by *selector* from now on."""
        self._selector = selector
        selector.register(self.socket, selectors.EVENT_READ, self)
        self._watch()

    def unwatch(self) -> None:
        """Be driven by nothing."""
        self._selector = None

    def _watch(self) -> None:
        if self._selector:
            key = self._selector.get_key(self.socket)
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
            if key.events != wanted:
                self._selector.modify(self.socket, wanted, self)

    def close(self) -> None:
        """Close it without goodbye."""
        self._selector = None
        self.socket.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.count} counted, {len(self._unsent)} bytes unsent>"


class Asker(Wire):
    """Sends *request*, waits for as many answers as it has, and again; takes the time of each round."""

    def __init__(self, port: int, marker: bytes, request: bytes, *, answers: int = 1, greeting: bytes = b"") -> None:
        self.latencies: list[float] = []
        self._request, self._answers, self._open, self._asked = request, answers, 0, 0.0
        super().__init__(port, marker, greeting)

    def ask(self) -> None:
        """Begin a round."""
        self._open, self._asked = self._answers, perf_counter()
        self.send(self._request)

    def took(self, data: bytes, found: int) -> bytes:
        self._open -= found
        if found and not self._open:
            self.latencies.append(perf_counter() - self._asked)
            self.ask()
        return super().took(data, found)


class Crowd:
    """Subscribers that are to have the same events."""

    def __init__(self, members: Sequence[Wire]) -> None:
        self._members = members
        self._behind = 0

    def reached(self, count: int) -> bool:
        """Whether all of them have *count* events; looks at each member once, however often it is asked."""
        while self._behind < len(self._members) and self._members[self._behind].count >= count:
            self._behind += 1
        if self._behind < len(self._members):
            return False
        self._behind = 0
        return True

    def __repr__(self) -> str:
        return f"<Crowd of {len(self._members)}>"


def drive(
    wires: Sequence[Wire], until: Callable[[], bool], *, wait: float = 1.0, begin: Callable[[], object] = int
) -> None:
    """Call *begin* and serve *wires* until *until* says so, asked after each look, at least every *wait* seconds.

    Raises `LoadError` if nothing comes for `PATIENCE`.
    """
    with selectors.DefaultSelector() as selector:
        for wire in wires:
            wire.watch(selector)
        begin()
        heard = perf_counter()
        while not until():
            ready = selector.select(wait)
            if ready:
                heard = perf_counter()
            elif perf_counter() - heard > PATIENCE:
                raise LoadError(f"nothing came for {PATIENCE:g} s: {wires[0]!r}")
            for key, events in ready:
                _serve(key.data, events)
        for wire in wires:
            wire.unwatch()


def _serve(wire: Wire, events: int) -> None:
    if events & selectors.EVENT_WRITE:
        wire.flush()
    if events & selectors.EVENT_READ:
        wire.receive()


def closed(wires: Sequence[Wire], stack: ExitStack) -> Sequence[Wire]:
    """*wires*, closed when *stack* ends."""
    for wire in wires:
        stack.enter_context(closing(wire))
    return wires


def later(seconds: float) -> Callable[[], bool]:
    """Whether *seconds* have passed since this call."""
    end = perf_counter() + seconds
    return lambda: perf_counter() >= end
