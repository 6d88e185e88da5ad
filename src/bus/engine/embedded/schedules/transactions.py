"""Work on a store, done on a thread: what gathers while a transaction is under way is the next one.

run ─▶ gathered ─▶ transaction on the thread ─┬─▶ each has its result
                                              └─▶ StorageError: each has that
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from bus.engine.embedded.schedules.store import ScheduleStore
from bus.engine.guard import as_bus_error
from bus.errors import BusError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Gathered:
    work: Callable[[ScheduleStore], object]
    result: Future[Any]


class Transactions:
    """Runs work on *store*, in the order in which it is asked for."""

    def __init__(self, store: ScheduleStore, loop: AbstractEventLoop) -> None:
        self._store = store
        self._loop = loop
        self._gathered: list[_Gathered] = []
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="schedules")
        self._under_way = False

    async def run(self, work: Callable[[ScheduleStore], T]) -> T:
        """Do *work* and return what it returns, once it is on the disk. Raises a `StorageError`, and what *work* does.

        What it raises undoes nothing but itself, so it has to raise before it has written.
        """
        result: Future[Any] = self._loop.create_future()
        self._gathered.append(_Gathered(work, result))
        if not self._under_way:
            self._begin()
        return cast(T, await result)

    def _begin(self) -> None:
        gathered, self._gathered = self._gathered, []
        self._under_way = True
        doing = self._loop.run_in_executor(self._executor, _do, self._store, gathered)
        doing.add_done_callback(lambda done: self._done(gathered, done))

    def _done(self, gathered: Sequence[_Gathered], done: Future[list[object]]) -> None:
        self._under_way = False
        try:
            outcomes: Sequence[object] = done.result()
        except Exception as error:
            outcomes = [as_bus_error(error, "keeping scheduled events")] * len(gathered)
        for one, outcome in zip(gathered, outcomes, strict=True):
            _tell(one.result, outcome)
        if self._gathered:
            self._begin()

    def close(self) -> None:
        """Wait for what is under way, and close the store."""
        self._executor.shutdown(wait=True)
        self._store.close()

    def __repr__(self) -> str:
        return f"<Transactions of {self._store!r}, {len(self._gathered)} gathered>"


def _do(store: ScheduleStore, gathered: Sequence[_Gathered]) -> list[object]:
    """What each returns or, if it refuses, raises."""
    with store.transaction():
        return [_attempt(store, one.work) for one in gathered]


def _attempt(store: ScheduleStore, work: Callable[[ScheduleStore], object]) -> object:
    try:
        return work(store)
    except BusError as error:
        return error


def _tell(result: Future[Any], outcome: object) -> None:
    if result.done():
        return
    if isinstance(outcome, BusError):
        result.set_exception(outcome)
    else:
        result.set_result(outcome)
