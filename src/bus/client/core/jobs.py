"""The events that a worker has begun, and whose they are by now.

    arrived ──begin──▶ running ──end──▶ (said, or put off until it comes again: ``bus.client.core.late_acks``)
       │                 ▲  │
       │                 └──┘ delivered again: the job takes the new delivery over
       ├────────◀──────────── given back, and delivered again before the job has ended
       └── passed over: its connection is gone, or its time is over

Assumptions: the server hands an event to somebody else once its connection is gone or its redelivery time is
over, and hands it to this worker as often as to any other.

1. An event is begun only while its delivery is this worker's: its connection stands, and it came less than a
   redelivery time ago. What is passed over here comes again, to whoever has room.
2. An event that is delivered while its job runs isn't begun again: the job goes on, and what it says is said of
   the new delivery. One that is delivered again before it is begun is begun once, by the later delivery.
3. What a job gives back may be delivered again before it hears that this was taken. That delivery is another attempt
   than the one that was given back, and is begun when the job has ended.
4. Time is that of a clock which goes on while the process is stopped and while the machine sleeps. A reader that
   stood still for a redelivery time can't tell how long the bytes it finds have been there, so it gives its
   connection up and begins anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Generic

from bus.client.core.delivery import D, Delivered
from bus.errors import ConnectionFailedError

Clock = Callable[[], float]

LONGEST_BLIND_WAIT = 1.0
"""Seconds that a worker waits without looking round: a signal just before it begins to wait doesn't wake it."""

EXTENSIONS = 3
"""How often within the redelivery time a running handler asks for more: two may get lost."""

SHORTEST_STANDSTILL = 1.0
"""Seconds; below that a busy machine is taken for one that was stopped."""


def boot_clock() -> float:
    """Seconds that go on while this process is stopped or the machine sleeps."""
    return time.clock_gettime(_BOOT_CLOCK)


_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class StoodStillError(ConnectionFailedError):
    """This process was stopped for so long that what came meanwhile may be somebody else's."""


class Jobs(Generic[D]):
    """What a worker runs; its threads may call it at once.

    ``redelivery`` is the time that an attempt may take, in seconds: what the worker wishes for, until the server says.
    """

    def __init__(self, *, redelivery: float, clock: Clock = boot_clock) -> None:
        self.redelivery = redelivery
        self._clock = clock
        self._waiting: dict[tuple[int, str], D] = {}
        self._running: dict[tuple[int, str], D] = {}
        self._again: dict[tuple[int, str], D] = {}
        self._given_back: dict[tuple[int, str], int] = {}
        self._awake_at = clock()
        self._lock = Lock()

    # -- events

    def arrive(self, event: D) -> bool:
        """Take note of a delivery. False when the job of its event runs already, and has taken it over."""
        place = event.index, event.id
        with self._lock:
            job = self._running.get(place)
            if job is None:
                event.__dict__["arrived"] = self._awake_at
                self._waiting[place] = event
                return True
            job.__dict__["connection"] = event.connection
            job.attempts = event.attempts
            self._again[place] = event
            return False

    def begin(self, event: D) -> bool:
        """Count *event* as running. False when it was delivered again meanwhile, or belongs to others by now."""
        place = event.index, event.id
        with self._lock:
            if self._waiting.get(place) is not event:
                return False
            del self._waiting[place]
            if not event.connection.live or self._clock() - event.__dict__["arrived"] >= self.redelivery:
                return False
            self._running[place] = event
            return True

    def give_back(self, event: Delivered, *, attempts: int) -> None:
        """The job of *event* gives it back as what was delivered with so many *attempts*."""
        with self._lock:
            if self.runs(event):
                self._given_back[event.index, event.id] = attempts

    def end(self, event: D) -> D | None:
        """The job of *event* is done, and what it said is said or put off.

        Returns its next delivery, to be begun, if it was given back and has come again already.
        """
        place = event.index, event.id
        with self._lock:
            self._running.pop(place, None)
            again, given_back = self._again.pop(place, None), self._given_back.pop(place, None)
            if again is None or given_back is None or again.attempts <= given_back:
                return None
            again.__dict__["arrived"] = self._awake_at
            self._waiting[place] = again
            return again

    def runs(self, event: Delivered) -> bool:
        return self._running.get((event.index, event.id)) is event

    def running(self) -> list[D]:
        return list(self._running.values())

    @property
    def count(self) -> int:
        return len(self._running)

    # -- time

    @property
    def extension(self) -> float:
        """Seconds between two requests for more time."""
        return self.redelivery / EXTENSIONS

    @property
    def _standstill(self) -> float:
        return max(self.redelivery, SHORTEST_STANDSTILL)

    @property
    def tick(self) -> float:
        """Seconds after which to look at the clock, if nothing came until then."""
        return min(self._standstill / 2, LONGEST_BLIND_WAIT)

    def wake(self) -> None:
        """The reader looks at the clock, before it looks at what came. Raises `StoodStillError`."""
        before, self._awake_at = self._awake_at, self._clock()
        if self._awake_at - before >= self._standstill:
            raise StoodStillError(
                f"this process stood still for {self._awake_at - before:.0f}s, and others may have its events by now"
            )

    def rest(self) -> None:
        """The reader comes back from elsewhere, to a connection on which nothing waits for it."""
        self._awake_at = self._clock()

    def connect(self) -> None:
        """A new connection stands: what came by the last one is not begun any more."""
        self._waiting.clear()
        self.rest()

    def __repr__(self) -> str:
        return f"<Jobs {self.count} running>"
