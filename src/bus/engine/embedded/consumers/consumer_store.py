"""Where durable consumers are kept: one row each in a SQLite file, written in batches off the hot path.

    consumers.db    table consumer (id BLOB PRIMARY KEY, state BLOB, crc INTEGER)    user_version 2

A state is the consumer's `ConsumerState` in MessagePack, encrypted if the server has a key, so that neither
names nor patterns stand there in clear; the id is a digest of the name. The CRC-32C of the state as it is stored
tells a position from bytes that were damaged. Every write is a transaction that is synced. A crash falls back
to an older state, which repeats deliveries and skips none, because a state never says more is settled than was.

1. A row whose checksum is right is believed, whatever its id: the state knows its name.
2. Of another row nothing is believed about the position. If its name can be read and is that of the id, the
   consumer is there and begins with the oldest event left.
3. Else the id is remembered, and whoever subscribes with its name begins with the oldest event left.
4. A file that isn't one of these ends the start.

In version 1 there is no ``crc``. Such a file is read as it is, and gets the column with the first write: opening
writes nothing, so that a server starts on a full disk.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, TypeVar

import msgspec
from crc32c import crc32c
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from bus.engine.administration import DeadLetter
from bus.engine.consumer.kept_delivery import KeptDelivery
from bus.errors import BusError, LogVersionError, StorageError, WrongKeyError
from bus.storage.cipher import hash_id
from bus.storage.regular_files import UnfitFileError, check_regular
from bus.subject import Filter

log = logging.getLogger("bus.engine")

STORE_VERSION = 2

_CREATE = "CREATE TABLE IF NOT EXISTS consumer (id BLOB PRIMARY KEY, state BLOB, crc INTEGER) WITHOUT ROWID"
_HELP = "restore it from a backup, or move it away to begin all consumers anew"


class ConsumerState(msgspec.Struct):
    """What survives of a durable consumer.

    Everything before ``cursor`` is settled, except ``pending``. Before ``newest_until`` it gets only the newest event
    of each subject, and all others count as settled. ``given`` names the terms that somebody gave; what version 0.1
    wrote doesn't say. It is kept for ``expires`` seconds without a connection, 0 for ever, None as long as the server's
    setting says; ``idle`` are those that have passed.
    """

    name: str
    namespace: str
    patterns: list[str]
    redelivery: tuple[float, ...]
    redelivery_count: int
    by_key: bool
    cursor: int
    pending: list[KeptDelivery] = []
    dead: list[DeadLetter] = []
    given: list[str] = []
    paused: bool = False
    expires: float | None = None
    idle: float = 0.0
    newest_until: int = 0


class _Identity(msgspec.Struct):
    """What can be told of a consumer from a damaged state."""

    name: str
    namespace: str
    patterns: list[str]
    redelivery: tuple[float, ...] = (5.0,)
    redelivery_count: int = 3
    by_key: bool = False


_State = TypeVar("_State", ConsumerState, _Identity)


class _Row(NamedTuple):
    id: Any
    state: Any
    crc: Any


class ConsumerStore:
    """The file. Its methods block; `save` may be called from any thread."""

    def __init__(self, path: Path, *, key: bytes | None) -> None:
        self._path = path
        self._key = key
        self._lock = Lock()
        self._turns: dict[str, int] = {}
        self._box = SecretBox(key) if key else None
        self._version = STORE_VERSION
        self._forgotten: set[bytes] = set()
        self._strays: list[Any] = []
        try:
            for name in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-journal")):
                check_regular(name)
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._prepare()
        except UnfitFileError as error:
            raise StorageError(str(error)) from None
        except sqlite3.Error as error:
            raise StorageError(f"{path} can't be opened: {error}: {_HELP}") from None

    def _prepare(self) -> None:
        """Opening a file that is there writes nothing.

        Exclusive locking keeps the index of the write-ahead log in memory instead of in a file of its own.
        """
        self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._database.execute(_CREATE)
            self._database.execute(f"PRAGMA user_version = {STORE_VERSION}")
        elif not 1 <= version <= STORE_VERSION:
            raise LogVersionError(
                f"{self._path} is of version {version}: this Bus knows versions up to {STORE_VERSION}"
            )
        else:
            self._version = version

    # -- reading

    def load(self) -> Iterator[ConsumerState]:
        """Every consumer, those that are damaged with the oldest position there is.

        Raises `WrongKeyError` if they were encrypted with another key, `StorageError` if the file is broken.
        """
        for row in self._rows():
            body = self._body(row)
            state = _decode(body, ConsumerState) if self._is_whole(row) else None
            if state is None or not _is_sound(state):
                state = self._salvage(row.id, _decode(body, _Identity))
            elif self._id(state.name) != row.id:
                self._strays.append(row.id)
            if state:
                yield state

    def _rows(self) -> list[_Row]:
        crc = "crc" if self._version == STORE_VERSION else "NULL"
        try:
            return [_Row(*found) for found in self._database.execute(f"SELECT id, state, {crc} FROM consumer")]
        except (sqlite3.Error, OverflowError) as error:
            raise StorageError(f"{self._path} is broken: {error}: {_HELP}") from None

    def _is_whole(self, row: _Row) -> bool:
        return isinstance(row.state, bytes) and (self._version == 1 or crc32c(row.state) == row.crc)

    def _body(self, row: _Row) -> bytes:
        """The state in clear, nothing if it is none. Only what is whole proves that the key is wrong."""
        if not isinstance(row.state, bytes):
            return b""
        try:
            return self._box.decrypt(row.state) if self._box else row.state
        except (CryptoError, ValueError):
            if not self._is_whole(row):
                return b""
            raise WrongKeyError(f"{self._path} is encrypted with another key: check the secret key") from None

    def _salvage(self, row: Any, found: _Identity | None) -> ConsumerState | None:
        """The consumer of a damaged row, at the oldest position, if it can be told which one that is."""
        if found is None or self._id(found.name) != row or not _is_sound(found):
            log.error(
                "%s: a row is damaged, and with it the place of a consumer and what it had pending and dead: "
                "whoever subscribes with its name begins with the oldest event left",
                self._path,
            )
            self._forgotten.add(row if isinstance(row, bytes) else b"")
            return None
        log.error(
            "%s: the row of consumer %s is damaged, and with it its place and what it had pending and dead: "
            "it begins with the oldest event left of %s",
            self._path, found.name, found.namespace,
        )  # fmt: skip
        return ConsumerState(**msgspec.structs.asdict(found), cursor=1)

    def has_forgotten(self, name: str) -> bool:
        """Whether the row of a consumer with this name is there and can't be read."""
        return self._id(name) in self._forgotten

    # -- writing

    def save(self, states: Mapping[str, bytes], *, turn: int) -> None:
        """Write encoded states by name, or remove those that are empty, all or none. Raises `StorageError`.

        *turn* counts up with every encoding: what was encoded before the state that is there is passed over,
        or a consumer could come back that was deleted while an older state waited to be written.
        """
        try:
            with self._lock, self._database:
                self._database.execute("BEGIN IMMEDIATE")
                self._upgrade()
                for name, state in states.items():
                    if turn >= self._turns.get(name, 0):
                        self._turns[name] = turn
                        self._write(self._id(name), state)
        except sqlite3.Error as error:
            raise StorageError(f"{self._path} can't be written: {error}") from None
        self._version = STORE_VERSION
        self._strays.clear()

    def erase(self) -> None:
        """Leave nothing of what was removed in the file and its write-ahead log. Raises `StorageError`."""
        try:
            with self._lock:
                self._database.execute("VACUUM")
                self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise StorageError(f"{self._path} can't be written: {error}") from None

    def _upgrade(self) -> None:
        """Bring the file to this version, and remove rows that stand where they don't belong."""
        if self._version == 1:
            self._database.execute("ALTER TABLE consumer ADD COLUMN crc INTEGER")
            for row in self._database.execute("SELECT id, state, NULL FROM consumer").fetchall():
                if isinstance(row[1], bytes):
                    self._database.execute("UPDATE consumer SET crc = ? WHERE id = ?", (crc32c(row[1]), row[0]))
            self._database.execute(f"PRAGMA user_version = {STORE_VERSION}")
        for stray in self._strays:
            self._database.execute("DELETE FROM consumer WHERE id = ?", (stray,))

    def _write(self, row: bytes, state: bytes) -> None:
        self._forgotten.discard(row)
        if state:
            encrypted = self._encrypt(state)
            self._database.execute(
                "INSERT OR REPLACE INTO consumer VALUES (?, ?, ?)", (row, encrypted, crc32c(encrypted))
            )
        else:
            self._database.execute("DELETE FROM consumer WHERE id = ?", (row,))

    def _id(self, name: str) -> bytes:
        return hash_id(name.encode(), key=self._key or b"").to_bytes(8, "big")

    def _encrypt(self, state: bytes) -> bytes:
        return bytes(self._box.encrypt(state)) if self._box else state

    def close(self) -> None:
        self._database.close()

    def __repr__(self) -> str:
        return f"<ConsumerStore {self._path}>"


def _decode(body: bytes, kind: type[_State]) -> _State | None:
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _is_sound(found: ConsumerState | _Identity) -> bool:
    """Whether a consumer can be made of it."""
    try:
        return Filter.parse(found.patterns).namespace == found.namespace and bool(found.redelivery)
    except BusError:
        return False
