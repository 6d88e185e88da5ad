"""How long commits take, without every one of them paying for it.

    due ── begin(batch) ──▶ timed ──around(…)──▶ publishers, between two stopwatches ──▶ due, some time later
                              └── forget() ──▶ due

Of thousands of commits a second a hundred tell as much as all. So one batch at a time is timed: to all others that are
begun and committed meanwhile it is a comparison each, which is why ``due`` and ``timed`` are attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bus.engine.administration import Latencies
from bus.engine.namespace import Publishers
from bus.errors import BusError
from bus.latency import Latency
from bus.units import NEVER, SECOND_NS

TIMED_EVERY = 10_000_000
"""Nanoseconds between the beginnings of two batches that are timed at least."""


class CommitTimes:
    """Notes in *latencies* how long commits take by *clock*, in ns.

    A batch that begins at ``due`` or later is to be timed; ``timed`` is the one that is.
    """

    __slots__ = ("_begun", "_clock", "_latencies", "due", "timed")

    def __init__(self, latencies: Latencies, clock: Callable[[], int]) -> None:
        self._latencies = latencies
        self._clock = clock
        self._begun = 0
        self.due = 0
        self.timed: Publishers | None = None

    def begin(self, batch: Publishers, *, now: int) -> None:
        """Time *batch*, whose first events have come."""
        self.timed, self._begun, self.due = batch, now, NEVER

    def around(self, done: Sequence[Publishers], *, live: bool) -> Sequence[Publishers]:
        """*done*, who are about to be answered, with stopwatches around them if the batch that is timed is among them.

        *live* tells whether the events are handed to anybody before.
        """
        if self.timed not in done:
            return done
        delivery = _Stopwatch(self._latencies.delivery, self._begun, self._clock)
        publish = _Stopwatch(self._latencies.publish, self._begun, self._clock)
        self.forget()
        return [delivery, *done, publish] if live else [*done, publish]

    def forget(self) -> None:
        """What is timed has come to its end."""
        self.timed, self.due = None, self._begun + TIMED_EVERY

    def __repr__(self) -> str:
        return f"<CommitTimes in {self._latencies!r}>"


class _Stopwatch:
    """Stands among publishers to note how long it took since *begun* until it was their turn."""

    def __init__(self, latency: Latency, begun: int, clock: Callable[[], int]) -> None:
        self._latency = latency
        self._begun = begun
        self._clock = clock

    def answer(self, failure: BusError | None = None) -> None:
        if failure is None:
            # The clock may have been set back.
            self._latency.observe(max(self._clock() - self._begun, 0) / SECOND_NS)
