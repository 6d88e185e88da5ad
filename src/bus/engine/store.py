"""Where durable consumers are kept: one row each in a SQLite file, written in batches off the hot path.

    consumers.db    table consumer (id BLOB PRIMARY KEY, state BLOB)    user_version 1

A state is the consumer's `ConsumerState` in MessagePack, sealed if the server has a key, so that neither
names nor patterns stand there in clear; the id is a digest of the name. Every write is a transaction that
is synced. A crash falls back to an older state, which repeats deliveries and skips none, because a state
never says more is settled than was.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock

import msgspec
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from bus.errors import LogVersionError, StorageError, WrongKeyError
from bus.storage.cipher import hash_id
from bus.storage.files import UnfitFileError, check_regular

VERSION = 1


class Dead(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event a consumer gave up: its index, its letter's index, and why. ``time`` is in ns.

    There is no letter, and its index is 0, if the event was gone by then.
    """

    index: int
    event_id: str
    subject: str
    attempts: int
    reason: str
    time: int
    letter: int = 0


class ConsumerState(msgspec.Struct):
    """What survives of a durable consumer.

    Everything before ``cursor`` is settled, except ``pending``: pairs of an index and its attempts. ``given``
    names the terms that somebody gave; what version 0.1 wrote doesn't say.
    """

    name: str
    namespace: str
    patterns: list[str]
    redelivery: list[float]
    redelivery_count: int
    by_key: bool
    cursor: int
    pending: list[tuple[int, int]] = []
    dead: list[Dead] = []
    given: list[str] = []


class ConsumerStore:
    """The file. Its methods block; `save` may be called from any thread."""

    def __init__(self, path: Path, *, key: bytes | None) -> None:
        self._path = path
        self._key = key
        self._lock = Lock()
        self._turns: dict[str, int] = {}
        self._box = SecretBox(key) if key else None
        try:
            for name in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-journal")):
                check_regular(name)
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._prepare()
        except UnfitFileError as error:
            raise StorageError(str(error)) from None
        except sqlite3.Error as error:
            raise StorageError(f"{path} can't be opened: {error}") from None

    def _prepare(self) -> None:
        """Opening a file that is there writes nothing, so that a server starts on a full disk.

        Exclusive locking keeps the index of the write-ahead log in memory instead of in a file of its own.
        """
        self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS consumer (id BLOB PRIMARY KEY, state BLOB) WITHOUT ROWID"
            )
            self._database.execute(f"PRAGMA user_version = {VERSION}")
        elif version != VERSION:
            raise LogVersionError(f"{self._path} is of version {version}: this Bus knows version {VERSION}")

    def load(self) -> Iterator[ConsumerState]:
        """Every consumer. Raises `WrongKeyError` if they were sealed with another key."""
        for (body,) in self._database.execute("SELECT state FROM consumer"):
            yield msgspec.msgpack.decode(self._open(body), type=ConsumerState)

    def save(self, states: Mapping[str, bytes], *, turn: int) -> None:
        """Write encoded states by name, or remove those that are empty, all or none. Raises `StorageError`.

        *turn* counts up with every encoding: what was encoded before the state that is there is passed over,
        or a consumer could come back that was deleted while an older state waited to be written.
        """
        try:
            with self._lock, self._database:
                self._database.execute("BEGIN IMMEDIATE")
                for name, state in states.items():
                    if turn >= self._turns.get(name, 0):
                        self._turns[name] = turn
                        self._write(self._id(name), state)
        except sqlite3.Error as error:
            raise StorageError(f"{self._path} can't be written: {error}") from None

    def _write(self, row: bytes, state: bytes) -> None:
        if state:
            self._database.execute("INSERT OR REPLACE INTO consumer VALUES (?, ?)", (row, self._seal(state)))
        else:
            self._database.execute("DELETE FROM consumer WHERE id = ?", (row,))

    def _id(self, name: str) -> bytes:
        return hash_id(name.encode(), key=self._key or b"").to_bytes(8, "big")

    def _seal(self, state: bytes) -> bytes:
        return bytes(self._box.encrypt(state)) if self._box else state

    def _open(self, body: bytes) -> bytes:
        try:
            return self._box.decrypt(body) if self._box else body
        except CryptoError:
            raise WrongKeyError(f"{self._path} is sealed with another key: check the secret key") from None

    def close(self) -> None:
        self._database.close()

    def __repr__(self) -> str:
        return f"<ConsumerStore {self._path}>"
