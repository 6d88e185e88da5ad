"""Durable consumers on the way from one data directory to another.

They are read before the events: a position that is older than the copied log repeats deliveries, a newer one
would skip them.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from bus.config import Secret
from bus.engine.embedded.consumer_store import ConsumerState, ConsumerStore
from bus.engine.embedded.data_directory import DataDirectory
from bus.errors import StorageError
from bus.storage.files import check_regular
from bus.transfer.directory_target import PARTIAL, DirectoryTarget

_WAL_HEADER = 32


def read_positions(path: Path, *, secret: Secret) -> list[ConsumerState]:
    """The durable consumers of the data directory *path*, also while a server writes them.

    Raises `WrongKeyError`, or `StorageError` if they can't be read.
    """
    file = DataDirectory(path).consumers
    if not file.exists():
        return []
    for name in (file, _wal(file)):
        check_regular(name)
    with TemporaryDirectory() as scratch:
        snapshot = Path(scratch) / file.name
        while not _copied(file, snapshot):
            pass
        with closing(_open(snapshot, secret)) as store:
            return _load(store, file)


def _copied(file: Path, snapshot: Path) -> bool:
    """Copy a SQLite file and its write-ahead log, which a server may be writing; False if they changed in between.

    The server has the file locked for SQLite, so SQLite can't be asked. Commits go to the end of the log, which
    does no harm; only moving them into the file does, and then the file's time or the log's header changes.
    """
    before = _mark(file)
    shutil.copyfile(file, snapshot)
    _wal(snapshot).unlink(missing_ok=True)
    if _wal(file).exists():
        with suppress(FileNotFoundError):  # the server was stopped just now
            shutil.copyfile(_wal(file), _wal(snapshot))
    return _mark(file) == before


def _mark(file: Path) -> tuple[int, int, bytes]:
    about = file.stat()
    try:
        with _wal(file).open("rb") as log:
            return about.st_mtime_ns, about.st_size, log.read(_WAL_HEADER)
    except FileNotFoundError:
        return about.st_mtime_ns, about.st_size, b""


def _wal(file: Path) -> Path:
    return file.with_name(f"{file.name}-wal")


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
    _wal(file).unlink(missing_ok=True)  # it is of the file that is replaced
    target.place(partial, file)


def _open(file: Path, secret: Secret) -> ConsumerStore:
    return ConsumerStore(file, key=sha256(secret.encode()).digest() if secret else None)
