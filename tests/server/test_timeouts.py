"""Time-outs of the many who wait: each hears of its own, once, and nobody who left before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.server.api.timeouts import TICK, Timeouts
from tests.engine.support import ManualLoop


@pytest.fixture
def loop() -> Iterator[ManualLoop]:
    with ManualLoop() as loop:
        yield loop


class Patient:
    """Somebody who waits, and notes when the time was up."""

    def __init__(self, loop: ManualLoop) -> None:
        self.told: list[float] = []
        self._loop = loop

    def time_out(self) -> None:
        self.told.append(self._loop.time())


def test_whoever_left_is_told_nothing(loop: ManualLoop) -> None:
    timeouts = Timeouts(loop)
    stays, leaves = Patient(loop), Patient(loop)
    timeouts.enter(stays, 5)
    tick = timeouts.enter(leaves, 5)
    timeouts.leave(leaves, tick)
    timeouts.leave(leaves, tick)
    loop.advance(5 + TICK)
    timeouts.leave(stays, tick)
    loop.advance(60)
    assert (len(stays.told), leaves.told) == (1, [])


def test_what_nobody_waits_for_any_more_leaves_nothing_behind(loop: ManualLoop) -> None:
    timeouts = Timeouts(loop)
    waiting = [(found := Patient(loop), timeouts.enter(found, seconds)) for seconds in (1, 1, 30)]
    assert repr(timeouts) == "<Timeouts of 3>"
    for patient, tick in waiting:
        timeouts.leave(patient, tick)
    assert repr(timeouts) == "<Timeouts of 0>"


@given(st.lists(st.integers(1, 300), max_size=20))
def test_each_is_told_in_its_time_whoever_came_before_it(waits: list[int]) -> None:
    with ManualLoop() as loop:
        timeouts = Timeouts(loop)
        waiting = [Patient(loop) for _ in waits]
        due = [loop.time() + hundredths / 100 for hundredths in waits]
        for patient, hundredths in zip(waiting, waits, strict=True):
            timeouts.enter(patient, hundredths / 100)
        while loop.time() < 1004:
            loop.advance(TICK)
        for patient, wanted in zip(waiting, due, strict=True):
            (told,) = patient.told
            assert wanted - 1e-9 <= told <= wanted + 2 * TICK + 1e-9
