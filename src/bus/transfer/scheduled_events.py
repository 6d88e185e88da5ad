"""Scheduled events on the way from one data directory to another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from hashlib import sha256
from pathlib import Path

from bus.config import Secret
from bus.engine.embedded.data_directory import DataDirectory
from bus.engine.embedded.schedules.schedule import KeptSchedule
from bus.engine.embedded.schedules.store import Place, ScheduleStore
from bus.transfer.sqlite_snapshot import snapshot

TOGETHER = 1000
"""Schedules that are read and written at a time."""


@contextmanager
def schedule_files(directory: DataDirectory, namespaces: Iterable[str]) -> Iterator[Mapping[str, Path]]:
    """The scheduled events of *namespaces* as they are now, as files that end with the block."""
    with ExitStack() as stack:
        files = {name: directory.schedules(name) for name in namespaces}
        yield {name: stack.enter_context(snapshot(file)) for name, file in files.items() if file.exists()}


def copy_schedules(origin: Path, goal: Path, *, src_secret: Secret, dst_secret: Secret) -> None:
    """Write what is scheduled in the file *origin* to the file *goal*. Raises a `StorageError`."""
    with closing(_store(goal, dst_secret)) as target:
        for schedules in read_schedules(origin, secret=src_secret):
            with target.transaction():
                for schedule in schedules:
                    target.put(schedule)


def read_schedules(file: Path, *, secret: Secret) -> Iterator[list[KeptSchedule]]:
    """What is scheduled in *file*, some at a time. Raises a `StorageError`."""
    place = Place(-1, 0)
    with closing(_store(file, secret)) as store:
        while True:
            with store.transaction():
                page = store.page(place, TOGETHER)
            if not page:
                return
            yield [schedule for _, schedule in page]
            place = page[-1][0]


def count_damaged(file: Path, *, secret: Secret) -> int:
    """How many scheduled events of *file* can't be read. Raises a `StorageError`."""
    whole = sum(map(len, read_schedules(file, secret=secret)))
    with closing(_store(file, secret)) as store, store.transaction():
        return store.count() - whole


def _store(file: Path, secret: Secret) -> ScheduleStore:
    return ScheduleStore(file, key=sha256(secret.encode()).digest() if secret else None, sync=True)
