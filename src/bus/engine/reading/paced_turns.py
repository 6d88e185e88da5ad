"""Catching up at a pace that leaves the loop to publishers while there are any.

    no commits    read, read, read, …
    commits       read ─ 1 ms ─ read ─ 1 ms ─ …       until 10 ms went by without one

A piece of a replay is about half a millisecond of the loop and of the disk, and a publisher's event has to come
past several of them: on its way in, to the disk and back. A pause after each lets these steps find the loop free.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable

from bus.engine.reading.round_robin import RoundRobin

PAUSE = 0.001
"""Seconds from one piece to the next while events are published."""

QUIET = 0.010
"""Seconds after a commit until nobody seems to publish."""


class PacedTurns(RoundRobin):
    """Pieces by turns, with a pause between them for `QUIET` seconds after a commit.

    *committed_at* tells when the last commit was, by the clock of the loop.
    """

    def __init__(self, loop: AbstractEventLoop, *, committed_at: Callable[[], float]) -> None:
        super().__init__(loop)
        self._committed_at = committed_at
        self._last = -PAUSE

    def _do_next(self) -> None:
        self._last = self._loop.time()
        super()._do_next()

    def _call_next(self) -> None:
        now = self._loop.time()
        if now < self._last + PAUSE and now < self._committed_at() + QUIET:
            self._loop.call_later(PAUSE, self._do_next)
        else:
            super()._call_next()
