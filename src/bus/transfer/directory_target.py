"""A data directory that no server has, to write events to.

The log of a namespace grows beside its place and is moved there when all is done:

    data/app.partial/ ── everything written and synced ──▶ rename ──▶ data/app/

so whatever interrupts the command leaves nothing that could be taken for the whole. The name of a namespace
holds no dot, so no server takes the one for the other. What is appended is written in its place, and stays.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from bus.engine.embedded.data_directory import DataDirectory
from bus.engine.embedded.namespace_table import KeptNamespace, NamespaceTable, State, write_table
from bus.errors import ConfigError, InvalidEventError, StorageError
from bus.frame import id_of, split_frames
from bus.namespace import Storage
from bus.storage import DISK, Cipher, Log
from bus.subject import check_namespaces
from bus.transfer.admission import StoredEvent, admit_many
from bus.transfer.log_writer import LogWriter
from bus.transfer.odd_events import OddEvents, Piece, admit_each, namespace_of

PARTIAL = ".partial"


class DirectoryTarget:
    """A data directory that this process alone writes.

    Events *keep* their indexes, or are given new ones. A namespace that has events is refused, unless they are to
    *append* to it; then what came before an error stays. Raises `StorageError` if the directory can't be made or is in
    use.
    """

    def __init__(
        self, path: Path, *, cipher: Cipher | None, odd: OddEvents, keep: bool = True, append: bool = False
    ) -> None:
        self.refused = 0
        self.directory = DataDirectory(path)
        self.directory.make()
        self._lock = self.directory.lock()
        self._cipher = cipher
        self._odd = odd
        self._keep = keep
        self._append = append
        self._writers: dict[str, LogWriter] = {}
        self._moves: dict[Path, Path] = {}

    def make_namespaces(self, rows: Iterable[KeptNamespace]) -> None:
        """The table comes into its place before any log does: what is killed in between can be run again."""
        there = NamespaceTable(self.directory.table).rows
        new = {row.name: row for row in rows if row.name not in there and self._may_be_made(row)}
        if new:
            partial = _partial_of(self.directory.table)
            write_table(partial, {**there, **new})
            self.place(partial, self.directory.table)

    def _may_be_made(self, row: KeptNamespace) -> bool:
        if row.settings.storage is Storage.DISK or not self.directory.log(row.name).exists():
            return True
        self._odd.note(f"namespace {row.name} is not copied: it is in memory, and has a log in {self.directory.path}")
        return False

    def add(self, piece: Piece) -> None:
        now = time.time_ns()
        events = admit_many(piece.lines)
        if events and self._fit(events, piece.namespace):
            self._store(events, now)
        else:
            admit_each(piece, lambda event: self._store_one(event, now), self._odd, now=now)

    def _fit(self, events: Sequence[StoredEvent], namespace: str) -> bool:
        """Whether all are of one namespace, and follow what is there already."""
        names = {(subject or "").partition(".")[0] for subject in {event.subject for event in events}}
        if len(names) > 1 or not (names <= {namespace} if namespace else names <= self._writers.keys()):
            return False
        if not self._keep:
            return True
        due = self.writer(*names).due
        first = events[0].index if due is None else due
        return first > 0 and [event.index for event in events] == [*range(first, first + len(events))]

    def _store_one(self, event: StoredEvent, now: int) -> None:
        if self._keep:
            self._check_kept(event)
        self._store([event], now)

    def _check_kept(self, event: StoredEvent) -> None:
        """Check that the index of *event* can be kept. Raises `InvalidEventError`."""
        if not (event.id and event.created_at and event.index):
            raise InvalidEventError(
                "the event lacks an id, a time or an index: a dump has all three, --append makes new ones"
            )
        due = self._writer_of(event).due
        if due is None or event.index == due:
            return
        if event.index < due or not self._odd.skip:
            raise InvalidEventError(
                f"index {event.index} comes where {due} is due: "
                "if events were deleted in between, --append gives new indexes"
            )

    def _store(self, events: Sequence[StoredEvent], now: int) -> None:
        writer = self._writer_of(events[0])
        if self._keep:
            writer.begin_at(events[0].index)
            writer.due = events[-1].index + 1
        writer.add(events, now=now)

    def _writer_of(self, event: StoredEvent) -> LogWriter:
        try:
            return self.writer(namespace_of(event))
        except ConfigError as error:
            raise InvalidEventError(error.message) from None

    def writer(self, namespace: str) -> LogWriter:
        """What writes the events of *namespace*. Raises `StorageError` if there are events in its place."""
        if namespace not in self._writers:
            check_namespaces([namespace])
            self._writers[namespace] = LogWriter(self._open(self.directory.log(namespace)))
        return self._writers[namespace]

    def last_id(self, namespace: str) -> str:
        """The id of the last event that is there already and not deleted, empty if there is none."""
        log = self.writer(namespace).log
        index = log.next
        while index > log.first:
            batch = log.read(index - 1, most=1)[0]
            if batch.frames:
                *_, last = filter(None, split_frames(batch.frames, batch.lengths))
                return id_of(last)
            index = batch.first
        return ""

    def place(self, partial: Path, place: Path) -> None:
        """Have *partial* moved to *place* once everything is written, and removed if it comes otherwise."""
        self._moves[partial] = place

    def schedules(self, namespace: str) -> Path:
        """Where the scheduled events of a namespace go whose log is being written."""
        place = self.directory.schedules(namespace)
        return _partial_of(place.parent) / place.name

    def _open(self, place: Path) -> Log:
        self._check_table(place)
        if self._append:
            return Log.open(place, cipher=self._cipher)
        if place.is_dir():
            log = Log.open(place, cipher=self._cipher)
            log.close()
            if log.segments:
                raise StorageError(
                    f"namespace {place.name} in {place.parent} has events already: "
                    "choose an empty directory, or add to it by --append"
                )
        partial = _partial_of(place)
        shutil.rmtree(partial, ignore_errors=True)  # what a command left that was killed
        self.place(partial, place)
        return Log.open(partial, cipher=self._cipher)

    def _check_table(self, place: Path) -> None:
        """Raise `StorageError` if a server wouldn't read a log in this *place*."""
        row = NamespaceTable(self.directory.table).rows.get(place.name)
        if row and row.state is State.DELETED:
            raise StorageError(
                f"namespace {row.name} was deleted in {place.parent}, but not all of it is gone: "
                "start a server there once, then run this again"
            )
        if row and row.settings.storage is Storage.MEMORY:
            raise StorageError(f"namespace {row.name} in {place.parent} is in memory: choose another directory")

    def _complete(self) -> None:
        for writer in self._writers.values():
            writer.close(now=time.time_ns())
        for partial, place in self._moves.items():
            DISK.rename(partial, place)
        DISK.sync_directory(self.directory.path)

    def _abandon(self) -> None:
        for writer in self._writers.values():
            with suppress(StorageError):
                writer.close(now=time.time_ns(), flush=self._append)
        for partial in self._moves:
            shutil.rmtree(partial, ignore_errors=True)
            with suppress(OSError):
                partial.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if kind is None:
                self._complete()
        finally:
            self._abandon()
            self._lock.release()

    def __repr__(self) -> str:
        return f"<DirectoryTarget {self.directory.path} with {', '.join(self._writers)}>"


def _partial_of(place: Path) -> Path:
    """Where *place* is until it is complete."""
    return place.with_name(place.name + PARTIAL)
