"""One commit at a time is timed, whichever it is committed with, and one that fails is forgotten."""

from __future__ import annotations

from bus.engine.administration import Latencies
from bus.engine.embedded.commit_times import TIMED_EVERY, CommitTimes
from bus.errors import BusError, LogFailedError
from bus.latency import Latency
from bus.units import NEVER, SECOND_NS


class Waiting:
    """Publishers who wait for a batch."""

    def answer(self, failure: BusError | None = None) -> None:
        """They are told nothing here."""


def test_the_batch_that_is_timed_may_be_committed_later_than_others() -> None:
    latencies, timed, other = Latencies("app", Latency()), Waiting(), Waiting()
    times = CommitTimes(latencies, lambda: 3 * SECOND_NS)
    times.begin(timed, now=SECOND_NS)
    assert times.due == NEVER
    assert list(times.around([other], live=True)) == [other]
    assert len(latencies.publish) == 0
    for publishers in times.around([other, timed], live=False):
        publishers.answer()
    assert (latencies.publish.total, len(latencies.publish), len(latencies.delivery)) == (2.0, 1, 0)
    assert times.due == SECOND_NS + TIMED_EVERY


def test_what_fails_is_not_noted() -> None:
    latencies, timed = Latencies("app", Latency()), Waiting()
    times = CommitTimes(latencies, lambda: SECOND_NS)
    times.begin(timed, now=0)
    for publishers in times.around([timed], live=True):
        publishers.answer(LogFailedError("the disk is gone"))
    assert len(latencies.publish) == len(latencies.delivery) == 0
    times.begin(timed, now=0)
    times.forget()
    assert times.due < NEVER
