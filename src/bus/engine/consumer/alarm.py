"""One timer of the loop for the earliest of many deadlines."""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable

TICK = 0.001
"""The loop isn't woken sooner than so many seconds from now: what is due in between goes together."""


class Alarm:
    """Calls *ring* when the time comes that was set last, or earlier if an earlier one was set before."""

    def __init__(self, loop: AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._timer: TimerHandle | None = None

    def set(self, due: float | None) -> None:
        """Ring at *due* by the loop's clock, unless it rings before that anyway; None for nothing to ring for."""
        if due is None or (self._timer and self._timer.when() <= due):
            return
        self.stop()
        self._timer = self._loop.call_at(max(due, self._loop.time() + TICK), self._rung)

    def _rung(self) -> None:
        self._timer = None
        self._ring()

    def stop(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def __repr__(self) -> str:
        return f"<Alarm at {self._timer.when()}>" if self._timer else "<Alarm not set>"
