"""Where scheduled events wait: one row each in a SQLite file of their namespace.

    schedules.db    table schedule (id BLOB PRIMARY KEY, due INTEGER, begun INTEGER, state BLOB, crc INTEGER)
                    an index of due                                                          user_version 1

A state is the `KeptSchedule` in MessagePack, encrypted if the server has a key; the id is a digest of the schedule's.
``due`` is in ns since the epoch. The CRC-32C is that of due, begun and the state as they are stored. The life of a row:

    added ─▶ waiting ──due──▶ begun ──appended──▶ gone, or waiting for the next time if it recurs
              │   ▲            │
              │   └─not stored─┘
              └─cancelled─▶ gone

1. Before an event is appended its row says so: ``begun`` is the index that the log's next event will have at least.
2. Only a row that isn't begun can be cancelled, so that of cancelling and appending one wins.
3. After a crash, the event of a row that is begun is in the log from that index on, or it was never appended. It is
   looked for there by its id, which the row knows, before it is appended again. No clock takes part in this.

Work is done on a thread, all that has gathered in one transaction, which is synced before anybody is answered. When
the disk fails a transaction, nothing more is taken: frames of SQLite's write-ahead log count only together with those
before them, so what is written behind a lost one could be lost as well (sqlite.org/walformat.html, "checksum").
A file that isn't there is made when the first event is scheduled. A row that is damaged is named and set aside.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from struct import pack
from typing import NamedTuple

import msgspec
from crc32c import crc32c
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from bus.engine.embedded.schedules.schedule import KeptSchedule
from bus.errors import ConflictError, DiskFullError, LogFailedError, LogVersionError, StorageError, WrongKeyError
from bus.storage.regular_files import UnfitFileError, check_regular

log = logging.getLogger("bus.engine")

SCHEDULES_VERSION = 1
WAITING = 0
"""What a row says that isn't begun; indexes begin at 1."""

NEVER = 2**63 - 1
"""When a row is due that was set aside."""

_CREATE = """
CREATE TABLE schedule (id BLOB PRIMARY KEY, due INTEGER, begun INTEGER, state BLOB, crc INTEGER);
CREATE INDEX schedule_due ON schedule (due)
"""
_COLUMNS = "SELECT rowid, id, due, begun, state, crc FROM schedule"


class _Row(NamedTuple):
    rowid: int
    id: bytes
    due: int
    begun: int
    state: bytes
    crc: int


class Place(NamedTuple):
    """A place in the order in which schedules are due."""

    due: int
    rowid: int


@dataclass(frozen=True, slots=True)
class Begun:
    """A schedule that is due, and from which index on its event may be in the log already; 0 if it isn't there."""

    schedule: KeptSchedule
    since: int


class ScheduleStore:
    """The file at *path*, ``:memory:`` for none. Its methods block, and are called by one thread at a time.

    Parameters:
        path: the file; it is made with the first schedule.
        key: encrypts states, and hides ids; None leaves them in clear.
        sync: whether a transaction is on the disk when it ends.
    """

    def __init__(self, path: Path | None, *, key: bytes | None, sync: bool) -> None:
        self._path = path
        self._key = key or b""
        self._box = SecretBox(key) if key else None
        self._sync = sync
        self._database: sqlite3.Connection | None = None
        self._reported: set[bytes] = set()
        self.failure: StorageError | None = None

    # -- the file

    def open(self) -> None:
        """Open the file, or make it. Raises a `StorageError`."""
        if self._database is not None:
            return
        try:
            if self._path:
                for end in ("", "-wal", "-journal"):
                    check_regular(self._path.with_name(self._path.name + end))
                self._path.touch(0o600)
            self._database = sqlite3.connect(self._path or ":memory:", isolation_level=None, check_same_thread=False)
            self._prepare(self._database)
        except UnfitFileError as error:
            raise StorageError(str(error)) from None
        except OSError as error:
            raise StorageError(f"{self._path} can't be made: {error.strerror}") from None
        except sqlite3.Error as error:
            raise StorageError(
                f"{self._path} can't be opened: {error}: restore it from a backup, or move it away"
            ) from None

    @property
    def exists(self) -> bool:
        """Whether there may be schedules."""
        return self._database is not None or (self._path is not None and self._path.exists())

    def _prepare(self, database: sqlite3.Connection) -> None:
        """Exclusive locking keeps the index of the write-ahead log in memory instead of in a file of its own.

        Damage can make a text of what was none: it is read as the bytes it is.
        """
        database.text_factory = bytes
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(f"PRAGMA synchronous = {'FULL' if self._sync else 'NORMAL'}")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version == 0:
            database.executescript(f"BEGIN; {_CREATE}; PRAGMA user_version = {SCHEDULES_VERSION}; COMMIT")
        elif version != SCHEDULES_VERSION:
            raise LogVersionError(
                f"{self._path} is of version {version}: this Bus knows versions up to {SCHEDULES_VERSION}"
            )

    def close(self) -> None:
        """Close the file; nothing is called from then on."""
        if self._database is not None:
            self._database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is done within it is done as a whole or not at all, and synced. Raises a `StorageError`."""
        if self.failure:
            raise self.failure
        self.open()
        try:
            self._execute("BEGIN IMMEDIATE")
            yield
            self._execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise self._as_storage_error(error) from None
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        if self._database is not None and self._database.in_transaction:
            self._database.rollback()

    def _as_storage_error(self, error: sqlite3.Error) -> StorageError:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
            return DiskFullError(f"{self._path} can't grow: the disk is full; make room, then schedule again")
        self.failure = LogFailedError(f"{self._path} failed ({error}): no more events are scheduled until a restart")
        return self.failure

    def _execute(self, statement: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        assert self._database is not None, "the store is not open"
        return self._database.execute(statement, values)

    # -- within a transaction

    def put(self, schedule: KeptSchedule) -> None:
        """Add *schedule*, or set it in the place of the one that has its id."""
        self._write(self._id(schedule.id), schedule, WAITING)

    def find(self, schedule_id: str) -> KeptSchedule | None:
        """The schedule of this id, None if there is none, or none any more."""
        row = self._row(schedule_id)
        return self._read(row) if row else None

    def cancel(self, schedule_id: str) -> bool:
        """Forget a schedule; returns whether there was one. Raises `ConflictError` if it is being appended."""
        row = self._row(schedule_id)
        if row is None:
            return False
        if row.begun:
            raise ConflictError(f"schedule {schedule_id} is being delivered: it can't be cancelled any more")
        self._execute("DELETE FROM schedule WHERE id = ?", (row.id,))
        return True

    def next_due(self) -> int | None:
        """When the first schedule is due, in ns; None if nothing waits."""
        first = self._execute("SELECT min(due) FROM schedule WHERE due < ?", (NEVER,)).fetchone()[0]
        return None if first is None else int(first)

    def begin(self, *, now: int, next_index: int, most: int) -> list[Begun]:
        """At most *most* of those that are due at *now*, which from now on are begun before *next_index*."""
        rows = self._rows("WHERE due <= ? ORDER BY due, rowid LIMIT ?", (now, most))
        found = []
        for row in rows:
            schedule = self._read(row)
            if schedule is None:
                self._execute("UPDATE schedule SET due = ? WHERE rowid = ?", (NEVER, row.rowid))
                continue
            if not row.begun:
                self._write(row.id, schedule, next_index)
            found.append(Begun(schedule, row.begun))
        return found

    def remove(self, schedule_id: str) -> None:
        """Forget a schedule whose event is stored."""
        self._execute("DELETE FROM schedule WHERE id = ? AND begun > 0", (self._id(schedule_id),))

    def wait_again(self, schedule: KeptSchedule) -> None:
        """*schedule*, which was begun, waits again unless another one has taken its place."""
        row = self._row(schedule.id)
        if row and row.begun:
            self._write(row.id, schedule, WAITING)

    def page(self, after: Place, limit: int) -> list[tuple[Place, KeptSchedule]]:
        """At most *limit* schedules in the order in which they are due, behind *after*."""
        rows = self._rows("WHERE (due, rowid) > (?, ?) ORDER BY due, rowid LIMIT ?", (*after, limit))
        return [(Place(row.due, row.rowid), schedule) for row in rows if (schedule := self._read(row))]

    def count(self) -> int:
        """How many schedules there are."""
        (count,) = self._execute("SELECT count(*) FROM schedule").fetchone()
        return int(count)

    # -- rows

    def _row(self, schedule_id: str) -> _Row | None:
        return next(iter(self._rows("WHERE id = ?", (self._id(schedule_id),))), None)

    def _rows(self, where: str, values: Sequence[object]) -> list[_Row]:
        return [_Row(*found) for found in self._execute(f"{_COLUMNS} {where}", values)]

    def _write(self, row_id: bytes, schedule: KeptSchedule, begun: int) -> None:
        state = msgspec.msgpack.encode(schedule)
        stored = bytes(self._box.encrypt(state)) if self._box else state
        self._execute(
            "INSERT INTO schedule (id, due, begun, state, crc) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE "
            "SET due = excluded.due, begun = excluded.begun, state = excluded.state, crc = excluded.crc",
            (row_id, schedule.due, begun, stored, _checksum(schedule.due, begun, stored)),
        )

    def _read(self, row: _Row) -> KeptSchedule | None:
        """The schedule of *row*; None, and named once, if it is damaged. Raises `WrongKeyError`."""
        try:
            if row.crc == _checksum(row.due, row.begun, row.state):
                return _decode(self._box.decrypt(row.state) if self._box else row.state)
        except CryptoError:
            raise WrongKeyError(f"{self._path} is encrypted with another key: check the secret key") from None
        except (TypeError, ValueError, msgspec.MsgspecError):
            pass
        if row.id not in self._reported:
            self._reported.add(row.id)
            log.error("%s: row %d is damaged, and with it one scheduled event", self._path, row.rowid)
        return None

    def _id(self, schedule_id: str) -> bytes:
        return blake2b(schedule_id.encode(), key=self._key, digest_size=16).digest()

    def __repr__(self) -> str:
        return f"<ScheduleStore {self._path or 'in memory'}>"


Work = Callable[[ScheduleStore], object]
"""Something to be done within a transaction."""


def _checksum(due: int, begun: int, state: bytes) -> int:
    return crc32c(pack("<qq", due, begun) + state)


def _decode(state: bytes) -> KeptSchedule:
    return msgspec.msgpack.decode(state, type=KeptSchedule)
