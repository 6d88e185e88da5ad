"""A durable log of batches: the segments of one directory, one after the other.

     closed segments, oldest first                              active
     +--------------------+ +--------------------+ +--------------------+
     | 1 ...        41876 | | 41877 ...    83020 | | 83021 ...          | <- append
     +--------------------+ +--------------------+ +--------------------+
       ^ drop_before                                                  ^ next

One thread appends, syncs and removes; others may read at the same time (``reader.py``). What is appended
can be read at once; it is durable after ``sync``, and whoever must not show more than that remembers the
index of the last sync.

The order that recovery relies on (``recovery.py``): the active segment is sealed and its sidecar written
before the next one is created, and that one is durable with its name before a batch goes into it.

After a write or a sync that failed, the bytes on disk are unknown, and syncing again would prove nothing:
the log takes no more writes until it is opened again. A full disk is the exception: what was half written
is cut off, and the log goes on when there is room.
"""

from __future__ import annotations

import errno
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from bus.errors import DiskFullError, LogFailedError, StorageError
from bus.latency import Latency
from bus.storage.active_segment import ActiveSegment
from bus.storage.batch import Batch
from bus.storage.cipher import Cipher
from bus.storage.files import DISK, FULL, FileSystem
from bus.storage.header import HEADER_SIZE, LOG_VERSION, PLAIN_VERSION, Header, segment_path
from bus.storage.log_reader import LogReader, LogView
from bus.storage.recovery import Recovered, recover
from bus.storage.regular_files import UnfitFileError
from bus.storage.rewriting import Rewritten, discard, finish, place
from bus.storage.segment import SegmentInfo
from bus.storage.sidecar import SIDECAR_SUFFIX, TEMPORARY

SEGMENT_BYTES = 64 << 20
_MAX_SEGMENT = 1 << 31
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


def _advice(error: OSError) -> str:
    if isinstance(error, UnfitFileError):
        return "then start again"
    if isinstance(error, PermissionError):
        return "give it to the server's user, who has to read and write it"
    return "check the path and the disk"


class Log(LogReader):
    """The log in one directory; made by ``Log.open``.

    Attributes:
        failure: why the log takes no more writes; None as long as it does.
        syncs: how long syncs took.
    """

    __slots__ = ("_preallocate", "_segment_bytes", "_tail", "_version", "failure", "syncs")

    def __init__(
        self,
        directory: Path,
        *,
        files: FileSystem,
        cipher: Cipher | None,
        found: Recovered,
        segment_bytes: int,
        preallocate: bool,
        failure: str | None,
    ) -> None:
        super().__init__(directory, files=files, cipher=cipher, found=found)
        self._segment_bytes = segment_bytes
        self._preallocate = preallocate
        self._tail = self._view.tail
        self._version = PLAIN_VERSION
        self.failure = failure
        self.syncs = Latency()

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        files: FileSystem = DISK,
        cipher: Cipher | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        preallocate: bool = False,
        read_only: bool = False,
    ) -> Log:
        """Opens the log in *directory*, recovering it if it was not closed.

        Parameters:
            directory: holds this log and nothing else; created if missing, unless read only.
            files: the file system.
            cipher: encrypts and opens the bodies; None for a plain log.
            segment_bytes: a segment is closed before it grows beyond this.
            preallocate: keep zeros behind the last batch, so that most syncs change no size; worth it where every
                commit is synced.
            read_only: write nothing, and end at the last batch that is whole now. This is safe beside a
                process that writes the log.

        Returns:
            The log. WrongKeyError, LogVersionError, or CorruptLogError if the last segment can't be read
            at all: then nothing was written. StorageError if the operating system refuses.
        """
        if not HEADER_SIZE < segment_bytes <= _MAX_SEGMENT:
            raise ValueError(f"a segment can't have {segment_bytes} bytes: give {HEADER_SIZE + 1} to {_MAX_SEGMENT}")
        try:
            if not read_only:
                files.make_directory(directory)
            found = recover(directory, files=files, cipher=cipher, read_only=read_only)
        except OSError as error:
            raise StorageError(f"opening the log in {directory} failed: {error}: {_advice(error)}") from error
        failure = f"the log in {directory} is open for reading only" if read_only else None
        return cls(
            directory,
            files=files,
            cipher=cipher,
            found=found,
            segment_bytes=segment_bytes,
            preallocate=preallocate,
            failure=failure,
        )

    @property
    def segment_bytes(self) -> int:
        """A segment is closed before it grows beyond this."""
        return self._segment_bytes

    def start_at(self, index: int) -> None:
        """Lets a log that has no segment begin with the event *index*; ValueError if it has one."""
        if self._view.closed or self._view.active or index < 1:
            raise ValueError(f"the log in {self._directory} begins at {self.first}, it can't begin at {index}")
        self._view = self._view._replace(start=index)
        self._tail = self._view.tail

    def limit_segments(self, size: int) -> None:
        """Has segments closed from now on before they grow beyond *size* bytes."""
        self._segment_bytes = size

    def append(self, batch: Batch) -> None:
        """Writes *batch* at the end; it is durable after the next ``sync``.

        ``batch.first`` must be ``next``, and its time no earlier than ``time``, else ValueError.
        DiskFullError if there is no room: nothing of it was kept, and the log can be used. LogFailedError
        if writing failed in another way, now or before.
        """
        if self.failure:
            raise self._refused()
        tail = self._tail
        if batch.first != tail.next or batch.time < tail.time or not batch.lengths:
            raise ValueError(f"{batch!r} doesn't continue a log at event {tail.next} and time {tail.time}")
        active = self._view.active
        if active is None or tail.end + len(batch.frames) > self._segment_bytes:
            active = self._make_room(self._view)
        try:
            self._tail = active.append(batch)
        except OSError as error:
            raise self._undo(active, error) from error

    def append_run(self, run: Batch) -> None:
        """Writes deleted events as ``append`` does, in a segment of the version in which they take no room."""
        if self.failure:
            raise self._refused()
        active = self._view.active
        if active is None or not active.header.has_runs:
            self._version = LOG_VERSION
            self.roll()
        self.append(run)

    def sync(self) -> None:
        """Makes everything appended so far durable; LogFailedError if that failed, now or before."""
        if self.failure:
            raise self._refused()
        active = self._view.active
        if active and active.synced < active.tail.end:
            begun = perf_counter()
            try:
                active.sync(preallocate=self._preallocate)
            except OSError as error:
                raise self._fail(error) from error
            self.syncs.observe(perf_counter() - begun)

    def roll(self) -> None:
        """Closes the active segment and begins a new one, so that ``drop_before`` may remove it.

        Nothing happens if it is empty. Errors are those of ``append``.
        """
        if self.failure:
            raise self._refused()
        if self._view.active:
            self._make_room(self._view)

    def drop_before(self, index: int) -> tuple[SegmentInfo, ...]:
        """Removes the segments that are wholly before the event *index*, oldest first.

        The last segment stays. The removal is durable on return.

        Returns:
            What was removed. LogFailedError if the log takes no writes, StorageError if a file can't be
            removed.
        """
        if self.failure:
            raise self._refused()
        dropped = []
        while len(self.segments) > 1 and (oldest := self._view.closed[0]).next <= index:
            self._view = self._view._replace(closed=self._view.closed[1:])
            self._remove(oldest)
            dropped.append(oldest)
        return tuple(dropped)

    def keep(self, name: str, data: bytes) -> None:
        """Keeps *data* beside the segments by this name, in place of what was; a crash may lose it.

        StorageError if it can't be written, and then it may be as it was or lost.
        """
        path = self._directory / name
        temporary = path.with_name(name + TEMPORARY)
        try:
            with suppress(FileNotFoundError):
                self._files.remove(temporary)
            with closing(self._files.create(temporary)) as file:
                file.write(0, data)
            self._files.rename(temporary, path)
        except OSError as error:
            raise StorageError(f"{path} can't be written: {error.strerror}") from error

    def replace(self, rewritten: Rewritten) -> bool:
        """Puts a rewritten segment in the place of what it was made of; durable after ``finish``.

        Returns:
            Whether it is there: False if some of what it was made of was removed meanwhile, and nothing happens then.
            LogFailedError if the log takes no writes, StorageError if a file can't be replaced.
        """
        if self.failure:
            raise self._refused()
        origins, closed = rewritten.origins, self._view.closed
        at = bisect_left(closed, origins[0].first, key=lambda segment: segment.first)
        end = at + len(origins)
        with self._replacing(rewritten):
            if closed[at:end] != origins:
                discard(rewritten, self._files)
                return False
            place(rewritten, self._files)
        self._view = self._view._replace(closed=(*closed[:at], rewritten.segment, *closed[end:]))
        self.forget_opened()
        return True

    def finish(self, rewritten: Rewritten) -> None:
        """Makes what ``replace`` did durable, and removes what is left of old segments; in any thread."""
        with self._replacing(rewritten):
            finish(rewritten, self._files)

    @contextmanager
    def _replacing(self, rewritten: Rewritten) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            path = rewritten.segment.path
            raise StorageError(f"replacing {path} failed: {error.strerror}: check the disk") from error

    def close(self) -> None:
        """Syncs, writes the sidecar of the active segment, and closes the files; again does nothing."""
        active = self._view.active
        try:
            if active and not self.failure:
                self._vouch(active)
        finally:
            self.failure = self.failure or f"the log in {self._directory} is closed"
            self.forget_opened()
            if active:
                active.file.close()

    def _make_room(self, view: LogView) -> ActiveSegment:
        """A new active segment behind the one there is, unless that is still empty."""
        closed, active, start = view
        if active and active.next == active.base:
            return active
        if active:
            self._vouch(active)
            closed, start = (*closed, replace(active.info, active=False)), active.next
        fresh = self._create(start)
        self._view = LogView(closed, fresh, start)
        return fresh

    def _vouch(self, active: ActiveSegment) -> None:
        """Seals the active segment and writes its sidecar; without one the next opening scans the segment."""
        try:
            active.seal()
        except OSError as error:
            raise self._fail(error) from error
        with suppress(OSError):
            active.write_sidecar(self._files)

    def _create(self, base: int) -> ActiveSegment:
        path = segment_path(self._directory, base)
        try:
            file = self._files.create(path)
        except OSError as error:
            raise self._refuse(error) from error
        try:
            header = Header.new(base, self._cipher, version=self._version)
            return ActiveSegment.begin(self._files, path, file, header, self._cipher)
        except OSError as error:
            raise self._discard(path, error) from error

    def _discard(self, path: Path, error: OSError) -> StorageError:
        """Removes a segment that can't be used, for certain, because the one before it goes on."""
        try:
            self._files.remove(path)
            self._files.sync_directory(self._directory)
        except OSError as again:
            return self._fail(again)
        return self._refuse(error)

    def _undo(self, active: ActiveSegment, error: OSError) -> StorageError:
        try:
            active.trim()
        except OSError as again:
            return self._fail(again)
        return self._refuse(error)

    def _refuse(self, error: OSError) -> StorageError:
        """The error for a write that left nothing behind; the log goes on if there is hope."""
        if error.errno in FULL:
            return DiskFullError(f"no room in {self._directory} for event {self.next}: free some, or drop old events")
        if error.errno in _NO_DESCRIPTORS:
            return StorageError(f"no new segment in {self._directory}: {error.strerror}: raise the limit (ulimit -n)")
        return self._fail(error)

    def _fail(self, error: OSError) -> LogFailedError:
        self.failure = f"writing the log in {self._directory} at event {self.next} failed: {error}"
        return LogFailedError(f"{self.failure}: check the disk, then restart")

    def _refused(self) -> LogFailedError:
        return LogFailedError(f"{self.failure}: restart to write again")

    def _remove(self, segment: SegmentInfo) -> None:
        """The sidecar goes first: one without its segment says that the segment was lost."""
        try:
            for path in (segment.path.with_suffix(SIDECAR_SUFFIX), segment.path):
                with suppress(FileNotFoundError):
                    self._files.remove(path)
                self._files.sync_directory(self._directory)
        except OSError as error:
            raise StorageError(f"removing {segment.path} failed: {error}") from error
        finally:
            self.forget_opened()

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = f", failure={self.failure!r}" if self.failure else ""
        return f"Log({str(self._directory)!r}, first={self.first}, next={self.next}{state})"
