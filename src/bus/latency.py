"""How long things take: counted in buckets for good, and the last times by themselves.

    seconds   0 ──┬── 50 µs ──┬── 100 µs ──┬── … ──┬── 10 s ──┬──▶
    counts        n0          n1           n2      …          n17     everything since the start
    recent        the last `RECENT` times, in the order they came     what it is like now

Buckets can be added up over servers and over time, as Prometheus does; what it is like now can't be told from them.
To observe a time is to append it to a list, for it is done beside each commit; times are counted `TOGETHER`, or when
somebody looks. One thread observes, another may look: it counts what is there and leaves what comes meanwhile.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain
from threading import Lock

BOUNDS = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Seconds up to which each bucket goes; the last one has no bound."""

RECENT = 256
TOGETHER = 1024


class Latency:
    """The times that something took, in seconds."""

    __slots__ = ("_counting", "_counts", "_recent", "_total", "_uncounted")

    def __init__(self) -> None:
        self._total = 0.0
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._counts = [0] * (len(BOUNDS) + 1)
        self._counting = Lock()
        self._uncounted: list[float] = []

    def observe(self, seconds: float) -> None:
        """It took so long once more."""
        uncounted = self._uncounted
        uncounted.append(seconds)
        if len(uncounted) >= TOGETHER:
            self._count()

    def _count(self) -> None:
        with self._counting:
            found = self._uncounted[:]
            del self._uncounted[: len(found)]
            for seconds in found:
                self._counts[bisect_left(BOUNDS, seconds)] += 1
            self._total += sum(found)
            self._recent.extend(found)

    @property
    def total(self) -> float:
        """All of them together."""
        self._count()
        return self._total

    @property
    def recent(self) -> Sequence[float]:
        """The last of them."""
        self._count()
        return list(self._recent)

    def buckets(self) -> list[tuple[str, float]]:
        """For each bound, as text, how many took no longer than that; the last is ``+Inf``."""
        self._count()
        return list(zip((*map(str, BOUNDS), "+Inf"), map(float, accumulate(self._counts)), strict=True))

    def __len__(self) -> int:
        self._count()
        return sum(self._counts)

    def __repr__(self) -> str:
        return f"<Latency of {len(self)} times, {self.total:.3f} s together>"


def quantiles(times: Iterable[Latency], *shares: float) -> Sequence[float | None]:
    """What each of these *shares* of the recent *times* took at most, all of them together; None if there are none."""
    found = sorted(chain.from_iterable(latency.recent for latency in times))
    return [found[min(int(share * len(found)), len(found) - 1)] if found else None for share in shares]
