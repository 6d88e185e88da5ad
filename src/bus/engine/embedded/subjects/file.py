"""The subjects of a namespace on disk: one row each in a SQLite file beside its log.

    subjects.db    table subject (last INTEGER PRIMARY KEY, subject BLOB UNIQUE, time INTEGER, events INTEGER,
                                  crc INTEGER)
                   table covered (upto INTEGER, segments BLOB, generation INTEGER, events INTEGER)
                   table stretch (first INTEGER PRIMARY KEY, next INTEGER, subjects BLOB, crc INTEGER)
                                                                                                user_version 2

``last`` is the index of the subject's newest event, which no other subject has, so the rows lie in the order of these.
``time`` is that of the event's batch, in ns. The CRC-32C is that of events, last, time and subject. The file is derived
from the log and says of what: of the ``events`` before ``upto`` in the segments that have the digest ``segments``
(`LogReader.identity`). A crash leaves it older than the log, which is made up for from ``upto`` on; or beside a log
whose segments are others, and then it is made anew. So is a file that is missing, damaged, or of another version. Each
transaction is whole or not there, and raises ``generation``.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

from bus.engine.embedded.subjects.fair_lock import FairLock
from bus.engine.embedded.subjects.rows import Covered, read_covered
from bus.engine.embedded.subjects.sealed import SealedCopy
from bus.engine.embedded.subjects.stretches import CREATE_STRETCHES
from bus.errors import DiskFullError, StorageError
from bus.storage.files import DISK
from bus.storage.regular_files import UnfitFileError, check_regular

log = logging.getLogger("bus.engine")

SUBJECTS_FILE = "subjects.db"
SUBJECTS_VERSION = 2
_CACHE_KIB = 16 * 1024
_ENDINGS = ("", "-wal", "-shm", "-journal")

_CREATE = f"""
BEGIN;
CREATE TABLE subject (last INTEGER PRIMARY KEY, subject BLOB UNIQUE, time INTEGER, events INTEGER, crc INTEGER);
CREATE TABLE covered (upto INTEGER, segments BLOB, generation INTEGER, events INTEGER);
INSERT INTO covered VALUES (0, x'', 0, 0);
{CREATE_STRETCHES};
PRAGMA user_version = {SUBJECTS_VERSION};
COMMIT
"""


class SubjectFile:
    """The file at *path*, None for a table in memory, of which *sealed* may be kept. *sync* has each transaction on the
    disk when it ends.
    """

    def __init__(self, path: Path | None, *, sync: bool, sealed: SealedCopy | None = None) -> None:
        self._path = path
        self._sealed = sealed
        self._sync = sync
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self.lock: AbstractContextManager[object] = nullcontext() if path else FairLock()

    def open(self) -> Covered:
        """Open the file, or make it; returns what it is of. Raises a `StorageError` if there can't be one."""
        try:
            return self._open()
        except sqlite3.DatabaseError:
            return self.begin_anew()
        except OSError as error:
            raise self._unfit(error) from None

    def _open(self) -> Covered:
        if self._path:
            for ending in _ENDINGS:
                check_regular(self._path.with_name(self._path.name + ending))
            self._path.touch(0o600)
        self._writer = self._connect()
        if self._sealed:
            self._sealed.load(self._writer)
        (version,) = self._writer.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._writer.executescript(_CREATE)
        elif version != SUBJECTS_VERSION:
            raise sqlite3.DatabaseError(f"it is of version {version}")
        if self._path:
            self._writer.execute(f"PRAGMA synchronous = {'FULL' if self._sync else 'NORMAL'}")
        self._reader = self._connect() if self._path else self._writer
        return read_covered(self._reader.execute("SELECT upto, segments, generation, events FROM covered").fetchone())

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path or ":memory:", isolation_level=None, check_same_thread=False)
        database.text_factory = bytes
        database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        if self._path:
            # What is lost of an empty file is made again, and a server may have a thousand of them to make.
            database.execute("PRAGMA synchronous = OFF")
            database.execute("PRAGMA journal_mode = WAL")
        return database

    def begin_anew(self) -> Covered:
        """Forget all that is in the file, for good. Raises a `StorageError`."""
        self.close()
        if self._sealed:
            self._sealed.discard()
        try:
            if self._path:
                for ending in _ENDINGS:
                    with suppress(FileNotFoundError):
                        self._path.with_name(self._path.name + ending).unlink()
                DISK.sync_directory(self._path.parent)
            return self._open()
        except sqlite3.Error as error:
            raise self.as_storage_error(error) from None
        except OSError as error:
            raise self._unfit(error) from None

    def seal(self) -> None:
        """Write the sealed copy, if there is to be one; without room for it there is none."""
        if self._sealed and self._writer:
            try:
                self._sealed.save(self._writer)
            except (OSError, sqlite3.Error) as error:
                log.warning("%r can't be written: %s", self._sealed, error)

    def close(self) -> None:
        """Close the file."""
        for database in (self._reader, self._writer):
            if database is not None:
                with suppress(sqlite3.Error):
                    database.close()
        self._reader = self._writer = None

    @property
    def writer(self) -> sqlite3.Connection:
        """The connection of the thread that writes."""
        assert self._writer is not None, "the file is not open"
        return self._writer

    @property
    def reader(self) -> sqlite3.Connection:
        """The connection of whoever reads meanwhile."""
        assert self._reader is not None, "the file is not open"
        return self._reader

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction; in memory, where nothing fails, there is none."""
        database = self.writer
        try:
            if self._path:
                database.execute("BEGIN IMMEDIATE")
            yield database
            if self._path:
                database.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back(database)
            raise self.as_storage_error(error) from None
        except BaseException:
            self._roll_back(database)
            raise

    def _roll_back(self, database: sqlite3.Connection) -> None:
        with suppress(sqlite3.Error):
            if database.in_transaction:
                database.execute("ROLLBACK")

    def discard_sealed(self) -> None:
        """Remove the sealed copy: it names what was deleted, and isn't of this log any more."""
        if self._sealed:
            self._sealed.discard()

    def as_storage_error(self, error: Exception) -> StorageError:
        """What to raise when SQLite says *error*."""
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
            return DiskFullError(f"{self._path} can't grow: the disk is full, make room")
        return StorageError(f"{self._path} failed ({error}): check the disk")

    def _unfit(self, error: OSError) -> StorageError:
        text = str(error) if isinstance(error, UnfitFileError) else f"{self._path} can't be made: {error.strerror}"
        return StorageError(text)

    @property
    def in_memory(self) -> bool:
        """Whether there is no file."""
        return self._path is None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._path or 'in memory'}>"
