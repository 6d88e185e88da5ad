"""How long a commit waits for more publishers: until a turn of the loop brings none.

    turn of the loop    1           2           3
    comes in            A  B        C           –
    waiting             2 ─ look ─▶ 3 ─ look ─▶ 3 ─▶ commit A, B, C: one write, one sync

Publishers who were answered together send again together, but the loop hears of them a few at a time. A sync for each
few would keep the rest waiting for all of these syncs; one turn more costs some microseconds.

Who was alone in the last commit is not kept waiting for others. Nobody waits for longer than the patience, however
many come.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class GatherWindow:
    """Decides whether a commit looks for more publishers. *patience* is in seconds, as *clock* is; 0 is none."""

    __slots__ = ("_clock", "_closes", "_patience", "_seen", "_together")

    def __init__(self, patience: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience = patience
        self._clock = clock
        self._closes = 0.0
        self._seen = 0
        self._together = 0

    def open(self) -> None:
        """Somebody begins to wait for a commit."""
        self._seen = 0
        if self._patience:
            self._closes = self._clock() + self._patience

    def stays_open(self, waiting: int) -> bool:
        """Whether to look again in the next turn, now that so many publishers are *waiting*; if not, they go now."""
        if self._together > 1 and waiting > self._seen and self._clock() < self._closes:
            self._seen = waiting
            return True
        self._together = waiting
        return False

    def __repr__(self) -> str:
        return f"<GatherWindow {self._patience * 1e6:.0f} µs, {self._together} went together>"
