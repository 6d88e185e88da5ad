"""Where events are written to: a data directory that no server has, or a running server.

Into a directory, the log of a namespace grows beside its place and is moved there when all is done:

    data/app.partial/ ── everything written and synced ──▶ rename ──▶ data/app/

so whatever interrupts the command leaves nothing that could be taken for the whole. The name of a namespace
holds no dot, so no server takes the one for the other.
"""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from bus.cli.console import note
from bus.cli.options import connect
from bus.cli.writer import LogWriter, check_stored, decode_stored
from bus.engine.directory import DataDirectory
from bus.errors import BusError, ConnectionFailedError, InvalidEventError, StorageError, TimedOutError
from bus.event import Draft
from bus.storage import DISK, Cipher, Log
from bus.subject import DEAD_SEGMENT, check_namespaces
from bus.wire import decode_draft

PARTIAL = ".partial"

UPLOAD_EVENTS = 4000
UPLOAD_SECONDS = 30.0
"""How long a server may take to store 1,000 events."""


class Target(Protocol):
    """Where events are written to: a block that is left without an error has stored them all, or said which not."""

    refused: int

    def add(self, line: bytes) -> None:
        """Store one event, given as JSON. Raises `InvalidError` for what can't be one."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...


class DirectoryTarget:
    """A data directory that this process alone writes.

    Events *keep* their indexes, or are given new ones. A namespace that has events is refused, unless they are to
    *append* to it. Raises `StorageError` if the directory can't be made or is in use.
    """

    def __init__(self, path: Path, *, cipher: Cipher | None, keep: bool = True, append: bool = False) -> None:
        self.refused = 0
        self.directory = DataDirectory(path)
        self.directory.make()
        self._lock = self.directory.lock()
        self._cipher = cipher
        self._keep = keep
        self._append = append
        self._writers: dict[str, LogWriter] = {}
        self._moves: dict[Path, Path] = {}

    def add(self, line: bytes) -> None:
        event, now = decode_stored(line), time.time_ns()
        checked = check_stored(event, now=now)
        if self._keep and not (event.id and event.created_at and event.index):
            raise InvalidEventError(
                "the event lacks an id, a time or an index: a dump has all three, --append makes new ones"
            )
        namespace = checked.subject.partition(b".")[0].decode()
        self.writer(namespace).add(checked, index=event.index if self._keep else None, now=now)

    def writer(self, namespace: str) -> LogWriter:
        """What writes the events of *namespace*. Raises `StorageError` if there are events in its place."""
        if namespace not in self._writers:
            check_namespaces([namespace])
            self._writers[namespace] = LogWriter(self._open(self.directory.log(namespace)))
        return self._writers[namespace]

    def place(self, partial: Path, place: Path) -> None:
        """Have *partial* moved to *place* once everything is written, and removed if it comes otherwise."""
        self._moves[partial] = place

    def _open(self, place: Path) -> Log:
        if place.is_dir():
            log = Log.open(place, cipher=self._cipher)
            if log.segments and self._append:
                return log
            log.close()
            if log.segments:
                raise StorageError(
                    f"namespace {place.name} in {place.parent} has events already: "
                    "choose an empty directory, or add to it by bus restore --append"
                )
        partial = place.with_name(place.name + PARTIAL)
        shutil.rmtree(partial, ignore_errors=True)  # what a command left that was killed
        self.place(partial, place)
        return Log.open(partial, cipher=self._cipher)

    def _complete(self) -> None:
        for writer in self._writers.values():
            writer.close()
        for partial, place in self._moves.items():
            DISK.rename(partial, place)
        DISK.sync_directory(self.directory.path)

    def _abandon(self) -> None:
        for writer in self._writers.values():
            with suppress(StorageError):
                writer.log.close()
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


class ServerTarget:
    """A running server, which keeps ids, times and keys and gives new indexes.

    What it refuses is named on standard error and counted in ``refused``; the rest is stored. Dead letters are left
    out, because they belong to a server's own consumers.
    """

    def __init__(self, url: str) -> None:
        self.refused = 0
        self._dead = 0
        self._client = connect(url, timeout=UPLOAD_SECONDS)
        self._gathered: list[Draft] = []

    def add(self, line: bytes) -> None:
        draft = decode_draft(line)
        if (draft.subject or "").split(".")[1:2] == [DEAD_SEGMENT]:
            self._dead += 1
            return
        self._gathered.append(draft)
        if len(self._gathered) >= UPLOAD_EVENTS:
            self._upload()

    def _upload(self) -> None:
        drafts, self._gathered = self._gathered, []
        for draft, outcome in zip(drafts, self._client.put_many(drafts, atomic=False), strict=True):
            if isinstance(outcome, ConnectionFailedError | TimedOutError):
                raise type(outcome)(f"stopped at event {draft.id or draft.subject}: {outcome}")
            if isinstance(outcome, BusError):
                self.refused += 1
                note(f"event {draft.id or draft.subject} is refused: {outcome}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._client:
            if kind is None:
                self._upload()
        if self._dead:
            note(f"{self._dead} dead letters are left out: a server writes its own")

    def __repr__(self) -> str:
        return f"<ServerTarget {self._client!r}, {self.refused} events refused>"
