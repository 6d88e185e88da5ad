"""Rates that each of many may have: a token bucket a key, remembered for those who used theirs lately.

    full ──charge──▶ less ──charge──▶ less than one: wait ──time──▶ … full: forgotten

A bucket holds what may come at once, and fills at the rate. It is kept as one number, the time at which it is full
again, as in the generic cell rate algorithm (ITU-T I.371): taking from it moves that time on, and as long as it is no
further away than filling takes, there is something left. What is taken may be more than there is, as a body is when
its size is known only at its end; then it takes so much longer until there is something again.
"""

from __future__ import annotations

from bus.units import Rate

REMEMBERED = 65_536
"""Keys that are remembered; beyond them, the one charged longest ago is forgotten, as if its bucket were full."""

ROUNDING = 1e-6
"""Seconds that may be left of a wait that is over, in numbers as large as clocks have."""


class RateLimit:
    """What each key may have at *rate*, as *most* of them are remembered. Times are seconds of any one clock."""

    __slots__ = ("_full_at", "_most", "rate")

    def __init__(self, rate: Rate, *, most: int = REMEMBERED) -> None:
        self.rate = rate
        self._most = most
        self._full_at: dict[str, float] = {}

    def wait(self, key: str, *, now: float) -> float:
        """Seconds until *key* may have one more, 0 if it may now."""
        if (full_at := self._full_at.get(key)) is None:
            return 0.0
        wait = full_at + self.rate.cost - self.rate.seconds - now
        return wait if wait > ROUNDING else 0.0

    def charge(self, key: str, amount: int, *, now: float) -> None:
        """*key* had *amount*, whether or not that was left."""
        full_at = max(self._full_at.pop(key, now), now)
        self._full_at[key] = full_at + amount * self.rate.cost
        if len(self._full_at) > self._most:
            self._forget(now)

    def _forget(self, now: float) -> None:
        """Forget the keys that were charged first as far as their buckets are full, and the first of all anyhow."""
        del self._full_at[next(iter(self._full_at))]
        while self._full_at and self._full_at[first := next(iter(self._full_at))] <= now:
            del self._full_at[first]

    def __len__(self) -> int:
        return len(self._full_at)

    def __repr__(self) -> str:
        return f"<RateLimit of {self.rate} for each of {len(self)}>"
