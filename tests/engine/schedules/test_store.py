"""The file of scheduled events: what it says is what was kept, and damage costs one event, never the start."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bus.engine.embedded.schedules.schedule import KeptSchedule
from bus.engine.embedded.schedules.store import SCHEDULES_VERSION, Place, ScheduleStore
from bus.errors import ConflictError, LogFailedError, LogVersionError, WrongKeyError

KEY = b"k" * 32
START = Place(-1, 0)
MANY = 1000

T = TypeVar("T")


def kept(name: str, due: int, *, cron: str = "") -> KeptSchedule:
    return KeptSchedule(name, due, b'{"subject":"app.a","payload":"a secret"}', cron, "UTC" if cron else "")


def do(store: ScheduleStore, work: Callable[[ScheduleStore], T]) -> T:
    with store.transaction():
        return work(store)


@contextmanager
def opened(path: Path | None, *, key: bytes | None = None) -> Iterator[ScheduleStore]:
    store = ScheduleStore(path, key=key, sync=True)
    try:
        yield store
    finally:
        store.close()


def everything(store: ScheduleStore) -> list[KeptSchedule]:
    return [schedule for _, schedule in do(store, lambda store: store.page(START, MANY))]


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_what_is_kept_is_there_when_it_is_opened_again(tmp_path: Path, key: bytes | None) -> None:
    path = tmp_path / "schedules.db"
    with opened(path, key=key) as store:
        assert not store.exists
        do(store, lambda store: store.put(kept("later", 9)))
        do(store, lambda store: store.put(kept("sooner", 3, cron="* * * * *")))
    assert (b"a secret" in path.read_bytes()) is (key is None)
    assert (b"sooner" in path.read_bytes()) is (key is None)
    with opened(path, key=key) as store:
        assert everything(store) == [kept("sooner", 3, cron="* * * * *"), kept("later", 9)]


def test_another_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "schedules.db"
    with opened(path, key=KEY) as store:
        do(store, lambda store: store.put(kept("a", 1)))
    with opened(path, key=b"x" * 32) as store, pytest.raises(WrongKeyError, match="check the secret key"):
        everything(store)


def test_a_version_of_the_future_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "schedules.db"
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {SCHEDULES_VERSION + 1}")
    database.close()
    with opened(path) as store, pytest.raises(LogVersionError, match="of version 2"):
        everything(store)


@pytest.mark.parametrize("column", ["due", "begun", "state", "crc"])
def test_a_damaged_row_is_named_and_keeps_nothing_else_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, column: str
) -> None:
    path = tmp_path / "schedules.db"
    with opened(path) as store:
        do(store, lambda store: store.put(kept("damaged", 1)))
        do(store, lambda store: store.put(kept("whole", 2)))
    with sqlite3.connect(path) as database:
        changed = "x'00' || state" if column == "state" else f"{column} + 1"
        database.execute(f"UPDATE schedule SET {column} = {changed} WHERE due = 1")
    database.close()
    with opened(path) as store:
        begun = do(store, lambda store: store.begin(now=9, next_index=1, most=MANY))
        assert [one.schedule.id for one in begun] == ["whole"]
        do(store, lambda store: store.remove("whole"))
        assert do(store, ScheduleStore.next_due) is None
        assert do(store, ScheduleStore.count) == 1
    assert caplog.text.count("is damaged") == 1


def test_when_a_transaction_fails_nothing_more_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "schedules.db"
    with opened(path) as store:
        do(store, lambda store: store.put(kept("a", 1)))
        with pytest.raises(LogFailedError, match="until a restart"), store.transaction():
            store._execute("INSERT INTO nothing VALUES (1)")
        with pytest.raises(LogFailedError):
            do(store, lambda store: store.put(kept("b", 1)))


class StoreMachine(RuleBasedStateMachine):
    """The store against a dict: what waits, what is begun, and who wins when both are wanted."""

    def __init__(self) -> None:
        super().__init__()
        self.store = ScheduleStore(None, key=None, sync=False)
        self.waiting: dict[str, int] = {}
        self.begun: dict[str, tuple[int, int]] = {}

    def teardown(self) -> None:
        self.store.close()

    names = st.sampled_from("abcde")
    dues = st.integers(0, 20)

    @rule(name=names, due=dues)
    def put(self, name: str, due: int) -> None:
        do(self.store, lambda store: store.put(kept(name, due)))
        self.begun.pop(name, None)
        self.waiting[name] = due

    @rule(name=names)
    def cancel(self, name: str) -> None:
        if name in self.begun:
            with pytest.raises(ConflictError):
                do(self.store, lambda store: store.cancel(name))
        else:
            found = do(self.store, lambda store: store.cancel(name))
            assert found == (self.waiting.pop(name, None) is not None)

    @rule(now=dues, next_index=st.integers(1, 99))
    def begin(self, now: int, next_index: int) -> None:
        found = do(self.store, lambda store: store.begin(now=now, next_index=next_index, most=MANY))
        expected = {name: (due, 0) for name, due in self.waiting.items() if due <= now}
        expected |= {name: (due, since) for name, (due, since) in self.begun.items() if due <= now}
        assert {one.schedule.id: (one.schedule.due, one.since) for one in found} == expected
        for name in expected:
            if name in self.waiting:
                self.begun[name] = self.waiting.pop(name), next_index

    @rule(name=names)
    def appended(self, name: str) -> None:
        do(self.store, lambda store: store.remove(name))
        self.begun.pop(name, None)

    @rule(name=names, due=dues)
    def not_stored_or_recurring(self, name: str, due: int) -> None:
        do(self.store, lambda store: store.wait_again(kept(name, due)))
        if self.begun.pop(name, None):
            self.waiting[name] = due

    @invariant()
    def it_says_what_was_kept(self) -> None:
        expected = self.waiting | {name: due for name, (due, _) in self.begun.items()}
        assert {schedule.id: schedule.due for schedule in everything(self.store)} == expected
        assert do(self.store, ScheduleStore.next_due) == min(expected.values(), default=None)


TestStoreMachine = StoreMachine.TestCase


def test_pages_have_everything_once_in_the_order_of_being_due() -> None:
    with opened(None) as store:
        for number in range(25):
            do(store, partial(ScheduleStore.put, schedule=kept(f"n{number}", number * 7 % 5)))
        found: list[KeptSchedule] = []
        place = START
        while page := do(store, partial(ScheduleStore.page, after=place, limit=4)):
            found += [schedule for _, schedule in page]
            place = page[-1][0]
        assert len({schedule.id for schedule in found}) == 25
        assert [schedule.due for schedule in found] == sorted(schedule.due for schedule in found)
