"""Durable consumers on the way from one data directory to another."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import msgspec

from bus.config import Secret
from bus.engine.embedded.consumers.consumer_store import ConsumerState, ConsumerStore
from bus.engine.embedded.data_directory import DataDirectory
from bus.errors import StorageError
from bus.transfer.directory_target import PARTIAL, DirectoryTarget
from bus.transfer.sqlite_snapshot import snapshot, wal_of


def read_positions(path: Path, *, secret: Secret) -> list[ConsumerState]:
    """The durable consumers of the data directory *path*, also while a server writes them.

    Raises `WrongKeyError`, or `StorageError` if they can't be read.
    """
    file = DataDirectory(path).consumers
    if not file.exists():
        return []
    with snapshot(file) as copy, closing(_open(copy, secret)) as store:
        return _load(store, file)


def _load(store: ConsumerStore, file: Path) -> list[ConsumerState]:
    try:
        return list(store.load())
    except (sqlite3.Error, msgspec.MsgspecError) as error:
        raise StorageError(f"{file} can't be read: {error}") from None


def write_positions(
    target: DirectoryTarget, states: Sequence[ConsumerState], *, secret: Secret, note: Callable[[str], object]
) -> None:
    """Have *target* hold these durable consumers, unless it has some of its own. Raises `StorageError`."""
    file = target.directory.consumers
    if not states:
        return
    if read_positions(target.directory.path, secret=secret):
        note(f"durable consumers are not copied: {file} has some already")
        return
    partial = file.with_name(file.name + PARTIAL)
    partial.unlink(missing_ok=True)
    with closing(_open(partial, secret)) as store:
        store.save({state.name: msgspec.msgpack.encode(state) for state in states}, turn=1)
    wal_of(file).unlink(missing_ok=True)  # it is of the file that is replaced
    target.place(partial, file)


def _open(file: Path, secret: Secret) -> ConsumerStore:
    return ConsumerStore(file, key=sha256(secret.encode()).digest() if secret else None)
