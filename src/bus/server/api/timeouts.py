"""Time-outs of the many who wait for something: each waits in the slot of the tick in which its time is up.

    ticks    4711          4712        5703
    slots    {a, b, c}     {}          {d, e}         those who weren't answered yet

This is the timing wheel of Varghese and Lauck (1987), whose slots are made when somebody waits for them. Coming and
going take one step however many wait, and the loop has one timer for all of them.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from heapq import heappop, heappush
from math import ceil
from typing import Protocol

from bus.engine.consumer.alarm import Alarm

TICK = 0.01
"""Seconds by which a time-out may come later than it was asked for."""


class Waiter(Protocol):
    """Somebody who doesn't wait for ever."""

    def time_out(self) -> None:
        """The time is up. Raises nothing."""


class Timeouts:
    """Those who wait, by the tick in which their time is up."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: dict[int, dict[Waiter, None]] = {}
        self._ticks: list[int] = []
        self._alarm = Alarm(loop, self._ring)

    def enter(self, waiter: Waiter, seconds: float) -> int:
        """Let *waiter* know in *seconds*, unless it leaves before that; returns the tick to leave by."""
        tick = ceil((self._loop.time() + seconds) / TICK)
        slot = self._slots.get(tick)
        if slot is None:
            slot = self._begin(tick)
        slot[waiter] = None
        return tick

    def _begin(self, tick: int) -> dict[Waiter, None]:
        """The slot of a *tick* that nobody has waited for yet."""
        slot = self._slots[tick] = {}
        heappush(self._ticks, tick)
        self._alarm.set(self._ticks[0] * TICK)
        return slot

    def leave(self, waiter: Waiter, tick: int) -> None:
        """*waiter* waits no longer, if it still does."""
        if slot := self._slots.get(tick):
            slot.pop(waiter, None)

    def _ring(self) -> None:
        now = self._loop.time()
        while self._ticks and self._ticks[0] * TICK <= now:
            for waiter in self._slots.pop(heappop(self._ticks)):
                waiter.time_out()
        self._alarm.set(self._ticks[0] * TICK if self._ticks else None)

    def __repr__(self) -> str:
        return f"<Timeouts of {sum(map(len, self._slots.values()))}>"
