"""One timer for many deadlines: it rings at the earliest, once."""

from __future__ import annotations

from bus.engine.consumer.alarm import Alarm
from tests.engine.support import ManualLoop


def test_it_rings_at_the_earliest_time_it_was_set_to(loop: ManualLoop) -> None:
    rung: list[float] = []
    alarm = Alarm(loop, lambda: rung.append(loop.time()))
    for due in (loop.now + 9, loop.now + 5, loop.now + 7):
        alarm.set(due)
    alarm.set(None)
    loop.advance(4.9)
    assert not rung
    loop.advance(0.2)
    loop.advance(60)
    assert len(rung) == 1, "whoever has later deadlines sets it anew when it rings"


def test_a_time_that_is_over_rings_soon_and_one_that_is_stopped_never(loop: ManualLoop) -> None:
    rung: list[float] = []
    alarm = Alarm(loop, lambda: rung.append(loop.time()))
    alarm.set(loop.now - 100)
    loop.turn(3)
    assert not rung, "the loop isn't woken at once"
    loop.advance(0.01)
    assert len(rung) == 1
    alarm.set(loop.now + 1)
    alarm.stop()
    alarm.stop()
    loop.advance(5)
    assert len(rung) == 1
