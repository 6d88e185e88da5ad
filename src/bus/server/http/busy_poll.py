"""Busy polling: for a while after there was something to do, the loop looks for more without sleeping.

                  came                       time is up, nothing came
    SLEEPING ──────────────▶ LOOKING ───────────────────────────────────▶ SLEEPING
                              │   ▲
                              └───┘ something comes or goes out: the time begins anew

To put a process to sleep and to wake it takes longer than the work of a small request. Whoever asks, is answered and
asks again is answered sooner by a server that hasn't gone to sleep meanwhile, as with the busy polling of network
drivers (Linux, ``net.core.busy_poll``) and the adaptive mutexes that spin before they sleep.

Looking takes a processor that others may need, so it is done only while it pays: while something comes in at least one
of `WORTH` looks. After those that were in vain it is tried again with every `TRIED_AGAIN`-th request.
"""

from __future__ import annotations

import time
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable
from typing import Final

from bus.server.http.connection import Application, Connection

WORTH: Final = 4

TRIED_AGAIN: Final = 64

_WEIGHT: Final = 1 / 16
"""Of the last look in the running mean of those that paid."""


class BusyPoll:
    """Keeps *loop* from sleeping for *seconds* after the last work, as *clock* tells them, while that pays."""

    __slots__ = ("_clock", "_has_come", "_looks", "_loop", "_paid", "_seconds", "_until", "_untried")

    def __init__(
        self, seconds: float, loop: AbstractEventLoop, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._seconds = seconds
        self._loop = loop
        self._clock = clock
        self._until = 0.0
        self._looks = False
        self._has_come = False
        self._paid = 1.0
        self._untried = 0

    def came(self) -> None:
        """Something came in."""
        self._has_come = True
        if self._looks:
            self.worked()
        elif self._is_worth_it():
            self._begin()

    def worked(self) -> None:
        """Something was answered or delivered: what comes of it is awaited from now on."""
        if self._looks:
            self._until = self._clock() + self._seconds

    def _is_worth_it(self) -> bool:
        self._untried += 1
        return self._paid * WORTH >= 1 or self._untried >= TRIED_AGAIN

    def _begin(self) -> None:
        self._looks, self._has_come, self._untried = True, False, 0
        self.worked()
        self._loop.call_soon(self._look)

    def _look(self) -> None:
        """Have the loop look once more: it doesn't sleep while there is something to call."""
        if self._clock() < self._until:
            self._loop.call_soon(self._look)
            return
        self._looks = False
        self._paid += (self._has_come - self._paid) * _WEIGHT

    def __repr__(self) -> str:
        return f"<BusyPoll for {self._seconds * 1e6:g} µs, {self._paid:.0%} paid>"


class PolledConnection(Connection):
    """A connection whose requests, answers and deliveries keep *poll* looking."""

    __slots__ = ("_poll",)

    def __init__(self, application: Application, loop: AbstractEventLoop, poll: BusyPoll) -> None:
        super().__init__(application, loop)
        self._poll = poll

    def data_received(self, data: bytes) -> None:
        self._poll.came()
        super().data_received(data)

    def flush(self) -> None:
        super().flush()
        self._poll.worked()

    def pipe(self) -> Callable[[Iterable[bytes]], None]:
        leave, poll = super().pipe(), self._poll

        def send(pieces: Iterable[bytes]) -> None:
            leave(pieces)
            poll.worked()

        return send
