"""What a compaction takes and what it leaves, case by case."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bus.engine.embedded.compaction.compaction import Compaction
from bus.engine.embedded.compaction.identities import Identities
from bus.engine.embedded.compaction.latest_indexes import LatestIndexes
from bus.engine.embedded.compaction.progress import COMPACTED_FILE, Progress, recall
from bus.engine.embedded.compaction.superseded import Superseded
from bus.engine.embedded.duplicates import Duplicates
from bus.engine.embedded.log_namespace import LogNamespace
from bus.engine.embedded.rewriter import Pace, Rewriter
from bus.event import Receipt
from bus.namespace import Compact
from bus.storage import Batch, Log, MemoryFiles
from bus.storage.segment import SegmentInfo
from bus.units import SECOND_NS
from tests.engine.embedded.compaction.test_machine import stored
from tests.engine.support import batch, open_namespace

GRACE = 100


@dataclass
class Compacted:
    """A namespace that is compacted by subject, with a table of so many *slots*."""

    loop: asyncio.AbstractEventLoop
    slots: int = 1024
    now: int = SECOND_NS
    duplicates: Duplicates = field(default_factory=lambda: Duplicates("app", size=1, ttl=None))
    files: MemoryFiles = field(default_factory=MemoryFiles)

    def __post_init__(self) -> None:
        self.namespace: LogNamespace = open_namespace(
            self.loop, files=self.files, segment_bytes=600, compact=Compact.SUBJECT, duplicates=self.duplicates
        )
        rewriter = Rewriter(Pace(lambda: -1.0, lambda: 0.0), lambda namespace: (), self.loop)
        self.compaction = Compaction(rewriter, self.loop, grace=GRACE, slots=self.slots)

    def publish(self, subject: str, payload: bytes = b"1", *, key: str = "") -> None:
        index = self.namespace.next
        self.namespace.store.append(batch(index, [subject], payload=payload, key=key, time=self.now))
        self.namespace.next = index + 1
        if key:
            self.duplicates.store((subject, key), Receipt("e", "", index), now=self.now)

    def restart(self) -> Progress:
        """Close the log and open it again; returns how far it is compacted."""
        self.namespace.store.close()
        self.__post_init__()
        return self.recall()

    def recall(self, compact: Compact = Compact.SUBJECT) -> Progress:
        return recall(Identities("app", compact, lambda: None), self.namespace.store)

    def look_through(self) -> int:
        """Look at what is new, up to the end; returns up to where that was."""
        self.namespace.store.roll()
        work = self.compaction._look_through(self.namespace, self.recall(), self.namespace.next, self.now)
        return work.until

    def compact(self, *, after: int = 0) -> list[int]:
        """Compact it after so many seconds; returns the indexes of what is left."""
        self.now += after * SECOND_NS
        self.loop.run_until_complete(self.compaction.compact(self.namespace, Compact.SUBJECT, now=self.now))
        return [*stored(self.namespace)]


@pytest.fixture
def compacted() -> Iterator[Compacted]:
    loop = asyncio.new_event_loop()
    yield Compacted(loop)
    loop.close()


def test_the_newest_of_each_subject_is_left(compacted: Compacted) -> None:
    for subject in ["app.a", "app.b", "app.a", "app._dead_.c", "app._dead_.c", "app.a"]:
        compacted.publish(subject)
    assert compacted.compact() == [2, 4, 5, 6]
    assert compacted.compact() == [2, 4, 5, 6]


def test_a_tombstone_goes_when_it_is_old(compacted: Compacted) -> None:
    compacted.publish("app.a")
    compacted.publish("app.a", b"null")
    assert compacted.compact() == [2]
    assert compacted.compact(after=GRACE) == [2]
    assert compacted.compact(after=1) == []


def test_null_within_a_payload_is_no_tombstone(compacted: Compacted) -> None:
    compacted.publish("app.a", b'{"payload":null,"created_at":""}')
    compacted.publish("app.b", b'"\\"payload\\":null"')
    compacted.publish("app._dead_.c", b"null")
    assert compacted.compact(after=2 * GRACE) == [1, 2, 3]


def test_a_key_in_the_window_keeps_its_event_and_the_tombstone_behind_that(compacted: Compacted) -> None:
    compacted.publish("app.a", key="k")
    compacted.publish("app.a", b"null")
    assert compacted.compact() == [1, 2]
    assert compacted.compact(after=2 * GRACE) == [1, 2]
    compacted.publish("app.b", key="l")
    assert compacted.compact() == [3]


def test_what_was_not_looked_at_is_left_alone() -> None:
    identities = Identities("app", Compact.SUBJECT, lambda: None)
    doomed = Superseded(identities=identities, latest=LatestIndexes(4), until=3, stale=10, window=99)
    assert [*doomed(batch(2, ["app.a"], payload=b"null"))] == [2]
    assert [*doomed(batch(3, ["app.a"], payload=b"null"))] == []


def test_a_table_that_is_too_small_takes_several_passes(compacted: Compacted) -> None:
    small = Compacted(compacted.loop, slots=4)
    for _ in range(3):
        for number in range(20):
            small.publish(f"app.n{number}")
    assert small.compact() == [*range(41, 61)]


def test_what_was_looked_at_is_not_looked_at_again_after_a_start(compacted: Compacted) -> None:
    for number in range(40):
        compacted.publish(f"app.n{number % 10}")
    assert compacted.compact() == [*range(31, 41)]
    progress = compacted.restart()
    assert (progress.cleaned, progress.left) == (41, compacted.namespace.store.size)
    assert not progress.is_worth_it(compacted.namespace.store)
    looked: list[int] = []
    batches = compacted.namespace.store.batches

    def noted(segment: SegmentInfo) -> Iterator[Batch]:
        looked.append(segment.first)
        return batches(segment)

    compacted.publish("app.n3")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Log, "batches", lambda store, segment: noted(segment))
        until = compacted.look_through()
    assert (until, looked) == (42, [41])
    assert compacted.compact() == [*range(31, 34), *range(35, 42)]


@pytest.mark.parametrize("change", ["lost", "damaged", "another", "removed"])
def test_what_is_kept_counts_only_for_the_log_that_it_is_of(compacted: Compacted, change: str) -> None:
    for number in range(40):
        compacted.publish(f"app.n{number % 10}")
    compacted.compact()
    store, path = compacted.namespace.store, Path("/log") / COMPACTED_FILE
    match change:
        case "lost":
            compacted.files.remove(path)
        case "damaged":
            store.keep(COMPACTED_FILE, store.kept(COMPACTED_FILE)[:-9])
        case "another":
            assert compacted.recall(Compact.KEY).cleaned == 0
            store.keep(COMPACTED_FILE, store.kept(COMPACTED_FILE).replace(b"41", b"99"))
        case "removed":
            store.roll()
            compacted.publish("app.n0")
            store.drop_before(41)
    assert compacted.restart().cleaned == 0


def test_behind_a_key_in_the_window_it_is_looked_again(compacted: Compacted) -> None:
    compacted.publish("app.a")
    compacted.publish("app.a", key="k")
    compacted.publish("app.a")
    assert compacted.compact() == [2, 3]
    assert compacted.restart().cleaned == 2
    assert compacted.compact(after=2 * GRACE) == [2, 3]
    compacted.publish("app.b", key="l")
    assert compacted.compact() == [3, 4]
