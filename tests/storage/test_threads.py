"""Readers beside the one thread that appends, rolls and drops."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from bus.storage import Batch, Log, OutOfLogError

from .support import SECOND, Place, fill


@pytest.fixture(autouse=True)
def quick_switching() -> Iterator[None]:
    """Threads take turns every few microseconds, so that every interleaving gets its chance."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(before)


class Follower(threading.Thread):
    """Reads the log from the beginning to the event *until*, and keeps whatever it sees that is wrong."""

    def __init__(self, log: Log, until: int) -> None:
        super().__init__()
        self.log, self.until = log, until
        self.read: list[Batch] = []
        self.wrong: list[object] = []

    def run(self) -> None:
        index = 1
        while index < self.until:
            try:
                batches = self.log.read(index, 2000)
            except OutOfLogError:
                index = self.log.first
                continue
            except Exception as error:
                self.wrong.append(error)
                return
            for batch in batches:
                self.check(batch, index)
                index = batch.next
            self.find(index)

    def check(self, batch: Batch, index: int) -> None:
        self.read.append(batch)
        if not batch.first <= index < batch.next or int(batch.frame(batch.first)) != batch.first:
            self.wrong.append((batch, index))

    def find(self, index: int) -> None:
        found = self.log.find_time((index - 1) * SECOND)
        if index - 1 >= self.log.first and found != index - 1:
            self.wrong.append(("time", index - 1, found))


def follow(log: Log, *, drop: bool) -> list[Follower]:
    followers = [Follower(log, until=601) for _ in range(3)]
    for follower in followers:
        follower.start()
    while log.next < 601:
        fill(log, 1, sync=False)
        if drop and log.next % 100 == 0:
            log.sync()
            log.drop_before(log.next - 200)
    for follower in followers:
        follower.join()
    return followers


def test_readers_see_every_event_once_and_in_order_while_it_is_written(place: Place) -> None:
    with place.open(segment_bytes=10_000) as log:
        for follower in follow(log, drop=False):
            assert follower.wrong == []
            assert [batch.first for batch in follower.read] == list(range(1, 601))


def test_readers_survive_the_removal_of_what_they_read(place: Place) -> None:
    with place.open(segment_bytes=5000) as log:
        for follower in follow(log, drop=True):
            assert follower.wrong == []
            seen = [batch.first for batch in follower.read]
            assert seen == sorted(set(seen))


def test_a_reader_of_the_directory_sees_a_prefix_while_it_is_written(place: Place) -> None:
    with place.open(segment_bytes=5000) as log:
        for _ in range(30):
            fill(log, 10, sync=False)
            seen = place.open(read_only=True)
            assert (seen.next, seen.damage, seen.torn) == (log.next, (), None)
