"""Uploads by turns: however much comes in at once, nobody else waits for more than a few milliseconds of it.

    loop     poll sockets ─ 1,024 lines ─ poll sockets ─ 1,024 lines ─ …
    uploads  A B C          A B           C A B          C A

The lines of one turn are few or many uploads', in the order in which they asked; who has more goes to the end of the
queue. While so many bytes wait for the disk as it can bear, none is taken.
"""

from __future__ import annotations

import time
from asyncio import AbstractEventLoop
from collections import deque
from typing import Protocol

from bus.engine.guard import as_bus_error
from bus.errors import BusError
from bus.server.http import limits
from bus.server.http.duty_cycle import DutyCycle

BYTES_A_LINE = 256
"""A longer line counts as several."""


class Uploader(Protocol):
    """Who has lines to publish."""

    def work(self, most: int, *, now: int) -> int:
        """Publish *most* lines at most, at *now* (ns); returns what that cost, in lines."""

    def fail(self, error: BusError) -> None:
        """Its work can't go on."""


class UploadTurns:
    """Shares the turns of the loop among uploads, which rest as *duty* says."""

    def __init__(self, loop: AbstractEventLoop, duty: DutyCycle) -> None:
        self._loop = loop
        self._duty = duty
        self._due: deque[Uploader] = deque()
        self._scheduled = False
        self._in_hand = 0

    def add(self, uploader: Uploader) -> None:
        """Have *uploader* work once, after those that were added before."""
        self._due.append(uploader)
        self._schedule()

    def begin(self, size: int) -> None:
        """So many bytes are on their way to the disk."""
        self._in_hand += size

    def end(self, size: int) -> None:
        """They are stored, or refused."""
        self._in_hand -= size
        self._schedule()

    def _schedule(self) -> None:
        if self._due and not self._scheduled and self._in_hand < limits.UPLOAD_BYTES:
            self._scheduled = True
            self._loop.call_soon(self._duty.take_turn, self._turn)

    def _turn(self) -> None:
        left = limits.UPLOAD_LINES_A_TURN
        while self._due and left > 0 and self._in_hand < limits.UPLOAD_BYTES:
            left -= self._work(self._due.popleft(), left)
        self._scheduled = False
        self._schedule()

    def _work(self, uploader: Uploader, most: int) -> int:
        try:
            return uploader.work(most, now=time.time_ns())
        except Exception as error:
            uploader.fail(as_bus_error(error, "publishing the lines of an upload"))
            return most

    def __repr__(self) -> str:
        return f"<UploadTurns {len(self._due)} due, {self._in_hand} bytes in hand>"
