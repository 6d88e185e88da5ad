"""Pauses after much work, so that who asks for little has the loop in between.

    turns    long ─ pause ─ long ─ pause ─ …
    others          read, commit, answer

A publisher's event has to come past the loop several times: on its way in, to the disk and back. Long turns that
follow each other would each come between two of these steps; behind a pause, one event waits for one of them. A turn
comes behind what was to be done when the pause ended, such as a commit: loops look at their timers first.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
from time import perf_counter

from bus.engine.reading.round_robin import RoundRobin

LONG = 0.004
"""Seconds; a shorter turn needs no pause."""

SHARE = 0.5
"""Of what a long turn took, the pause behind it: bulk loads lose at most a third of the loop to it, and in the pause
is done what they wait for as well, such as commits and answers."""


class DutyCycle:
    """Limits how much of the loop goes into turns that may be long, of whoever has it in common.

    *clock* tells seconds; that of the loop stands still during a turn.
    """

    def __init__(self, loop: AbstractEventLoop, *, clock: Callable[[], float] = perf_counter) -> None:
        self._loop = loop
        self._clock = clock
        self._free_at = clock()

    def take_turn(self, turn: Callable[[], None]) -> None:
        """Do *turn* now, or when the pause is over."""
        began = self._clock()
        if began < self._free_at:
            self._loop.call_later(self._free_at - began, self._loop.call_soon, self.take_turn, turn)
            return
        try:
            turn()
        finally:
            ended = self._clock()
            self._free_at = ended + (ended - began) * SHARE if ended - began > LONG else ended

    def __repr__(self) -> str:
        return f"<DutyCycle, free at {self._free_at:.3f}>"


class RestingTurns(RoundRobin):
    """Pieces by turns, with the pauses of *duty* behind long ones."""

    def __init__(self, loop: AbstractEventLoop, duty: DutyCycle) -> None:
        super().__init__(loop)
        self._duty = duty

    def _do_next(self) -> None:
        self._duty.take_turn(super()._do_next)
