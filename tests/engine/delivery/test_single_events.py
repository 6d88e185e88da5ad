"""Reading single events again: the log is read once for those of a batch that are wanted one after the other."""

from __future__ import annotations

from array import array

from bus.engine.delivery.single_events import CHUNKS, SingleEvents
from bus.storage.batch import Batch


def batch(first: int, count: int) -> Batch:
    frames = [b"event %d\n" % index for index in range(first, first + count)]
    return Batch(
        first=first, next=first + count, time=0, frames=b"".join(frames), lengths=array("I", map(len, frames)),
        subjects=(b"app.a",), which=b"", keyed=False,
    )  # fmt: skip


class Log:
    """Batches of a hundred, two of them a read, with a hole from 1001 to 1100; ``reads`` counts."""

    def __init__(self) -> None:
        self.reads = 0

    def read(self, index: int) -> list[Batch]:
        self.reads += 1
        first = (index - 1) // 100 * 100 + 1
        first = 1101 if first == 1001 else first
        return [batch(first, 100), batch(first + 100, 100)] if first < 900 else [batch(first, 100)]


def test_the_events_of_a_batch_take_one_read() -> None:
    log = Log()
    frames = SingleEvents(log.read)
    for index in range(1, 201):
        assert frames.at(index) == b"event %d\n" % index
    assert log.reads == 1


def test_as_many_readers_as_chunks_do_not_undo_each_others_work() -> None:
    log = Log()
    frames = SingleEvents(log.read)
    for offset in range(1, 101):
        for reader in range(CHUNKS):
            index = 200 * reader + offset
            assert frames.at(index) == b"event %d\n" % index
    assert log.reads == CHUNKS


def test_what_is_missing_is_looked_for_once() -> None:
    log = Log()
    frames = SingleEvents(log.read)
    assert [frames.at(index) for index in range(1001, 1101)] == [None] * 100
    assert log.reads == 1
    assert frames.at(1101) == b"event 1101\n"
