"""Memory that clients make the server hold: sums over all connections, where a limit for each would not do.

    connections   a ── 4 MB ──┐
                  b ── 2 KB ──┼──▶ Memory: used, most
                  c ── 3 MB ──┘

Each connection says through its `Holding` how much it makes the server hold. When the sum is used up, who asks for
more is refused. Only a small one may ask the largest to give way instead, so that a few clients that send large bodies
and never finish them can't keep everybody else from publishing.
"""

from __future__ import annotations

from collections.abc import Callable

from bus.errors import BusError, OverloadedError
from bus.server.http.limits import SMALL_BODY


class Memory:
    """A sum of bytes, at most *most*, that many share. *what* names them in refusals."""

    def __init__(self, most: int, what: str) -> None:
        self.most = most
        self.used = 0
        self._what = what
        self._holdings: set[Holding] = set()
        self._waiting: dict[Callable[[], None], None] = {}

    def check(self, size: int) -> None:
        """Raise `OverloadedError` if so many bytes more have no room, and can't make it."""
        if size > SMALL_BODY and self.used + size > self.most:
            raise self._refusal()

    def wait(self, call: Callable[[], None]) -> None:
        """Call back once when something was given back."""
        self._waiting[call] = None

    @property
    def full(self) -> bool:
        return self.used >= self.most

    def change(self, holding: Holding, size: int) -> None:
        """*holding* is *size* bytes from now on."""
        self.used += size - holding.size
        given_back = size < holding.size
        holding.size = size
        if size:
            self._holdings.add(holding)
        else:
            self._holdings.discard(holding)
        if given_back and self._waiting:
            self._wake()

    def make_room(self, size: int, *, more: int) -> None:
        """Have the largest give way to one of *size* that needs *more*. Raises `OverloadedError` if it shouldn't."""
        while self.used + more > self.most:
            movable = [holding for holding in self._holdings if holding.give_way] if size <= SMALL_BODY else []
            largest = max(movable, key=lambda holding: holding.size, default=None)
            if largest is None or largest.size <= SMALL_BODY or largest.give_way is None:
                raise self._refusal()
            largest.release()
            largest.give_way(self._refusal())

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for call in waiting:
            call()

    def _refusal(self) -> BusError:
        return OverloadedError(f"the server holds {self._what} of {self.most} bytes already: try again shortly")

    def __repr__(self) -> str:
        return f"<Memory for {self._what}, {self.used} of {self.most} bytes>"


class Holding:
    """What one connection makes the server hold; *give_way* ends that, None if nothing can."""

    __slots__ = ("_memory", "give_way", "size")

    def __init__(self, memory: Memory, give_way: Callable[[BusError], None] | None = None) -> None:
        self._memory = memory
        self.give_way = give_way
        self.size = 0

    def resize(self, size: int) -> None:
        """Hold *size* bytes. Raises `OverloadedError` if there is no room for them."""
        more = size - self.size
        if more > 0 and self._memory.used + more > self._memory.most:
            self._memory.make_room(size, more=more)
        self.keep(size)

    def keep(self, size: int) -> None:
        """Hold *size* bytes, room or not: they are there already."""
        if size != self.size:
            self._memory.change(self, size)

    def release(self) -> None:
        self.keep(0)

    def __repr__(self) -> str:
        return f"<Holding of {self.size} bytes>"
