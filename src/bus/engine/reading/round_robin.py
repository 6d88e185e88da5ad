"""Catching up by turns: however many read the log at once, nobody else waits for more than one of them.

    loop     poll sockets ─ one read ─ poll sockets ─ one read ─ …
    turns    A B C          A          B C A          B

After the round-robin of time-sharing systems: who has more to read goes to the end of the queue.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future
from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from typing import TypeVar

T = TypeVar("T")


class RoundRobin:
    """Work that is done piece by piece, one piece in each turn of the loop."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._due: deque[Callable[[], None]] = deque()

    def add(self, piece: Callable[[], None]) -> None:
        """Do *piece* after those that were added before."""
        if not self._due:
            self._call_next()
        self._due.append(piece)

    async def run(self, work: Generator[Future[None] | None, None, T]) -> T:
        """Do *work*, a piece in each turn, and return what comes of it; it waits for a future that it yields."""
        while True:
            try:
                coming = next(work)
            except StopIteration as done:
                result: T = done.value
                return result
            if coming:
                await coming
            turn = self._loop.create_future()
            self.add(partial(_begin, turn))
            await turn

    def _do_next(self) -> None:
        piece = self._due.popleft()
        if self._due:
            self._call_next()
        piece()

    def _call_next(self) -> None:
        """Let the loop do the next piece."""
        self._loop.call_soon(self._do_next)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {len(self._due)} due>"


def _begin(turn: Future[None]) -> None:
    """Have go on who waits for *turn*, unless nobody does any more."""
    if not turn.done():
        turn.set_result(None)
