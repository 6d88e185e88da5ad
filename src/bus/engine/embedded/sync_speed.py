"""How fast the disk syncs: whether a sync may hold the loop, or belongs on a thread.

     mean of a commit    0 ────────── 0.5 ms ────────────── 1 ms ──────────▶
                             fast         as it was before         slow

The mean is a running one, of about the last eight commits, so a single sync of more than 8 ms is enough for slow,
and a disk that is at the border doesn't change sides with every commit. A disk nobody has seen yet is slow.
"""

from __future__ import annotations

SLOW_SYNC = 0.001
"""Mean seconds of a commit above which it may not hold the loop."""

FAST_SYNC = 0.0005
"""Mean seconds below which it may again: little more than waking a thread and the loop costs."""

_WEIGHT = 1 / 8


class SyncSpeed:
    """The running mean of what commits take, and what follows from it."""

    __slots__ = ("is_fast", "mean")

    def __init__(self) -> None:
        self.mean = SLOW_SYNC
        self.is_fast = False

    def note(self, seconds: float) -> None:
        """A commit took so long."""
        self.mean += (seconds - self.mean) * _WEIGHT
        if self.mean > SLOW_SYNC:
            self.is_fast = False
        elif self.mean < FAST_SYNC:
            self.is_fast = True

    def __repr__(self) -> str:
        return f"<SyncSpeed {'fast' if self.is_fast else 'slow'}, {self.mean * 1000:.3f} ms>"
