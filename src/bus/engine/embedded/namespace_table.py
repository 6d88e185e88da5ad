"""The table of namespaces that were made or changed while the server ran: a file of the data directory.

    namespaces.table

    bus.namespaces 1 5c6f9a02\\n                               magic, version, CRC-32C of all behind this line
    {"name":"orders","state":"made","settings":{…}}\\n        a line of JSON for each namespace
    {"name":"app","state":"declared","settings":{…}}\\n

A namespace is ``made`` by a request, or it is ``declared`` on the command line and was changed by one, or ``deleted``
and there may yet be something of it. The file is written anew each time: into a file of another name, which is synced
and renamed, and then the directory is synced. So it is there as it was before or as it is afterwards.

It is what makes and deletes a namespace. A crash between two steps leaves

    make     1  table: made                before 1  nothing
             2  log opened                 after 1   it is made when the server starts
             3  answered

    delete   1  table: deleted             before 1  all of it
             2  streams and consumers end  after 1   it isn't served any more, and steps 2 to 4 are done when the
             3  directory removed                    server starts
             4  table: no line
             5  answered

so that one that was answered is there, and of one whose deletion was answered nothing is left.
"""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

import msgspec
from crc32c import crc32c

from bus.config import EngineSettings
from bus.engine.embedded.consumers.durable_consumers import DurableConsumers
from bus.engine.embedded.data_directory import DataDirectory
from bus.errors import ConfigError, ConflictError, CorruptLogError, LogVersionError, StorageError
from bus.namespace import NamespaceSettings, Storage
from bus.storage.files import DISK, FULL, FileSystem
from bus.storage.regular_files import UnfitFileError

log = logging.getLogger("bus.engine")

TABLE_VERSION = 1
_HEAD = re.compile(rb"bus\.namespaces (\d{1,9}) ([0-9a-f]{8})\n")
_HELP = "put a copy of it back, or remove it: then name its namespaces with --namespaces"
_encoder = msgspec.json.Encoder()


WHERE = {Storage.DISK: "on disk", Storage.MEMORY: "in memory"}


class State(StrEnum):
    """How a namespace came into the table."""

    MADE = "made"
    DECLARED = "declared"
    DELETED = "deleted"


class KeptNamespace(msgspec.Struct, frozen=True):
    """One line of the table."""

    name: str
    state: State
    settings: NamespaceSettings = NamespaceSettings()


Rows = Mapping[str, KeptNamespace]

_decoder = msgspec.json.Decoder(KeptNamespace)


class NamespaceTable:
    """What the file *path* holds; None is for a server without a data directory, which keeps nothing.

    Raises a `StorageError` if the file can't be read.
    """

    def __init__(self, path: Path | None, *, files: FileSystem = DISK) -> None:
        self._path = path
        self._files = files
        self.rows: Rows = {} if path is None else _read(files, path)

    def of(self, *states: State) -> Iterator[KeptNamespace]:
        """The namespaces that are in one of these *states*."""
        return (row for row in self.rows.values() if row.state in states)

    def put(self, row: KeptNamespace) -> None:
        """Have *row* in the table, for good before this returns. Raises a `StorageError`, and then nothing changed."""
        self._write({**self.rows, row.name: row})

    def remove(self, name: str) -> None:
        """Have no row of this *name*, likewise."""
        self._write({known: row for known, row in self.rows.items() if known != name})

    def _write(self, rows: Rows) -> None:
        if self._path is None:
            raise ConflictError(
                "the server keeps nothing on a disk, so it can't make, change or delete namespaces: "
                "start it with one that is on disk"
            )
        try:
            _replace(self._files, self._path, rows)
        except OSError as error:
            with suppress(OSError):  # what was renamed and not synced would be found by the next server
                _replace(self._files, self._path, self.rows)
            what = "there is no room" if error.errno in FULL else error.strerror or error
            raise StorageError(f"{self._path} can't be written: {what}") from error
        self.rows = rows

    def __repr__(self) -> str:
        return f"<NamespaceTable {self._path}, {', '.join(self.rows)}>"


def with_table(flags: EngineSettings, table: NamespaceTable) -> EngineSettings:
    """The settings that hold: those of *flags*, and before them what *table* says of a namespace.

    Raises `ConfigError` for a namespace that is on disk for one and in memory for the other.
    """
    namespaces, retention, quota = dict(flags.namespaces), dict(flags.retention), dict(flags.quota)
    compact = dict(flags.compact)
    for row in table.of(State.MADE, State.DECLARED):
        own = row.settings
        if row.state is State.MADE and namespaces.setdefault(row.name, own.storage) is not own.storage:
            raise ConfigError(f"namespace {row.name} was made {WHERE[own.storage]}: declare it so, or not at all")
        if own.retention is not None:
            retention[row.name] = own.retention
        if own.max_bytes is not None:
            quota[row.name] = own.max_bytes
        if own.compact is not None:
            compact[row.name] = own.compact
    return dataclasses.replace(flags, namespaces=namespaces, retention=retention, quota=quota, compact=compact)


def remove_deleted(table: NamespaceTable, directory: DataDirectory | None) -> None:
    """Step 3, before any log is opened. Raises a `StorageError`."""
    for row in table.of(State.DELETED):
        log.warning("namespace %s: its deletion is finished now", row.name)
        if directory:
            directory.remove_log(row.name)


def forget_deleted(table: NamespaceTable, consumers: DurableConsumers) -> None:
    """Steps 2 and 4, when the consumers are known. Raises a `StorageError`."""
    for row in list(table.of(State.DELETED)):
        consumers.forget_all(consumers.end_namespace(row.name))
        consumers.erase()
        table.remove(row.name)


def write_table(path: Path, rows: Rows, *, files: FileSystem = DISK) -> None:
    """Make the file *path*, which says what *rows* do; it is on the disk before this returns. Raises `OSError`."""
    with suppress(FileNotFoundError):
        files.remove(path)
    file = files.create(path)
    try:
        file.write(0, encode(rows))
        file.sync()
    finally:
        file.close()


def encode(rows: Rows) -> bytes:
    """The whole file."""
    lines = _encoder.encode_lines(list(rows.values()))
    return b"bus.namespaces %d %08x\n" % (TABLE_VERSION, crc32c(lines)) + lines


def decode(data: bytes, path: Path) -> Rows:
    """What the file *path* says. Raises `LogVersionError` or `CorruptLogError`."""
    head = _HEAD.match(data)
    if head is None:
        raise CorruptLogError(f"{path} is no table of namespaces: {_HELP}")
    if int(head[1]) != TABLE_VERSION:
        raise LogVersionError(f"{path} is of version {int(head[1])}: this Bus knows version {TABLE_VERSION}")
    lines = data[head.end() :]
    try:
        if crc32c(lines) != int(head[2], 16):
            raise ValueError("its checksum is wrong")
        rows = _decoder.decode_lines(lines)
    except (ValueError, msgspec.MsgspecError) as error:
        raise CorruptLogError(f"{path} is damaged ({error}): {_HELP}") from None
    return {row.name: row for row in rows}


def _read(files: FileSystem, path: Path) -> Rows:
    try:
        file = files.open(path)
    except FileNotFoundError:
        return {}
    except UnfitFileError as error:
        raise StorageError(str(error)) from None
    except OSError as error:
        raise StorageError(f"{path} can't be read: {error.strerror}") from None
    try:
        return decode(file.read(0, file.size()), path)
    except OSError as error:
        raise StorageError(f"{path} can't be read: {error.strerror}") from None
    finally:
        file.close()


def _replace(files: FileSystem, path: Path, rows: Rows) -> None:
    """Put a file with *rows* in the place of *path*: it is there whole, or as it was."""
    new = path.with_suffix(".new")
    write_table(new, rows, files=files)
    files.rename(new, path)
    files.sync_directory(path.parent)
