"""How long a commit waits for more publishers: as long as each turn of the loop brings some, and no longer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from bus.engine.embedded.duplicates import Duplicates
from bus.engine.embedded.gather_window import GatherWindow
from bus.engine.embedded.group_commit import Committed, InlineCommitter
from bus.engine.embedded.log_namespace import LogNamespace
from bus.engine.embedded.subjects.store import SubjectStore
from bus.engine.embedded.subjects.table import SubjectTable
from bus.event import Draft
from bus.storage import Batch, Log, MemoryFiles
from bus.wire import Durability
from tests.engine.support import ManualLoop, Publishing

PATIENCE = 0.001


class PatientCommitter:
    """Commits in place, as if that cost a sync."""

    patience = 3600.0

    def __init__(self, store: Log) -> None:
        self._inline = InlineCommitter(store)

    def commit(self, batches: Sequence[Batch], committed: Committed) -> None:
        self._inline.commit(batches, committed)

    def maintain(self, work: Callable[[], None]) -> None:
        self._inline.maintain(work)

    def close(self) -> None:
        self._inline.close()


@pytest.fixture
def loop() -> Iterator[ManualLoop]:
    with ManualLoop() as loop:
        yield loop


@pytest.fixture
def namespace(loop: ManualLoop) -> LogNamespace:
    store = Log.open(Path("/log"), files=MemoryFiles())
    subjects = SubjectTable("app", store, SubjectStore(None, sync=False), loop)
    subjects.open()
    return LogNamespace(
        "app", store, PatientCommitter(store), Duplicates("app", size=0, ttl=None),
        durability=Durability.FSYNC, quota=None, subjects=subjects, loop=loop,
    )  # fmt: skip


def publish(namespace: LogNamespace) -> Publishing:
    publishing = Publishing()
    namespace.publish([Draft(subject="app.a")], publishing, now=1)
    return publishing


def window(patience: float = PATIENCE, *, together: int = 2) -> tuple[GatherWindow, list[float]]:
    """A window after a commit of so many publishers, and the time by its clock."""
    now = [0.0]
    opened = GatherWindow(patience, clock=lambda: now[0])
    opened.open()
    opened.stays_open(together)
    opened.open()
    return opened, now


def test_it_stays_open_while_each_turn_brings_some() -> None:
    opened, _ = window()
    assert [opened.stays_open(waiting) for waiting in (2, 3, 3)] == [True, True, False]


def test_who_was_alone_is_not_kept_waiting() -> None:
    opened, _ = window(together=1)
    assert not opened.stays_open(1)


def test_nobody_waits_for_longer_than_the_patience_however_many_come() -> None:
    opened, now = window()
    open_until = 0.0
    for waiting in range(1, 100):
        if not opened.stays_open(waiting):
            break
        open_until, now[0] = now[0], now[0] + PATIENCE / 10
    assert open_until < PATIENCE


def test_without_patience_it_never_stays_open() -> None:
    opened, _ = window(0.0, together=32)
    assert not opened.stays_open(32)


def test_publishers_of_following_turns_go_together(namespace: LogNamespace, loop: ManualLoop) -> None:
    publish(namespace)
    publish(namespace)
    loop.turn(2)
    late = [publish(namespace)]
    for _ in range(3):
        loop.turn()
        assert not late[0].outcomes
        late.append(publish(namespace))
    loop.turn(3)
    assert all(publishing.outcomes for publishing in late)
    assert [batch.count for batch in namespace.read(1)] == [2, 4]


def test_who_stops_the_server_waits_for_what_is_gathered(namespace: LogNamespace, loop: ManualLoop) -> None:
    publish(namespace)
    publish(namespace)
    loop.turn(2)
    last, idle = publish(namespace), list[bool]()
    namespace.stop(lambda: idle.append(bool(last.outcomes)))
    assert not idle
    loop.turn(3)
    assert idle == [True]
