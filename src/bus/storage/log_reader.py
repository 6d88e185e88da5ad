"""The side of a log that any thread may use, beside the one that appends."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

from bus.errors import DiskFullError, StorageError
from bus.storage.active_segment import ActiveSegment
from bus.storage.batch import Batch
from bus.storage.batch_codec import MANY_BATCHES
from bus.storage.cipher import Cipher, digest, hash_id
from bus.storage.damage import Damage, DamagedLogError
from bus.storage.deletion import Doomed
from bus.storage.files import FULL, FileSystem
from bus.storage.header import segment_bases, segment_path
from bus.storage.recovery import Recovered
from bus.storage.rewriting import Rewritten, rewrite
from bus.storage.segment import Segment, SegmentInfo, SegmentTail
from bus.storage.stored_segment import UnreadableSegment, open_stored

_OPENED = 8
_MOST_BATCHES = 64
"""Taken apart in one go where all are read: others should get the interpreter in between."""


class OutOfLogError(LookupError):
    """The index asked for is before ``first`` or behind ``next``."""


class LogView(NamedTuple):
    """The segments at one moment: replaced as a whole, so that a reader never sees half a change.

    ``start`` is the index with which a new segment begins if none is active.
    """

    closed: tuple[SegmentInfo, ...]
    active: ActiveSegment | None
    start: int

    @property
    def first(self) -> int:
        if self.closed:
            return self.closed[0].first
        return self.active.header.base if self.active else self.start

    @property
    def next(self) -> int:
        return self.active.tail.next if self.active else self.start

    @property
    def tail(self) -> SegmentTail:
        """Where the log ends; its offset is 0 if no segment is active."""
        time = self.closed[-1].last_time if self.closed else 0
        if self.active is None:
            return SegmentTail(self.start, 0, time)
        tail = self.active.tail
        return tail if tail.time >= time else tail._replace(time=time)


class LogReader:
    """What can be read of a log.

    Attributes:
        damage: what opening found damaged or missing. It stays, everything else can be read.
        torn: what opening cut off; None if there was nothing.
    """

    __slots__ = ("_cipher", "_directory", "_files", "_open", "_view", "damage", "torn")

    def __init__(self, directory: Path, *, files: FileSystem, cipher: Cipher | None, found: Recovered) -> None:
        self._directory = directory
        self._files = files
        self._cipher = cipher
        self._view = LogView(tuple(found.closed), found.active, found.start)
        self._open = lru_cache(_OPENED)(partial(_open_closed, files, cipher))
        self.damage = tuple(found.damage)
        self.torn = found.torn

    @property
    def first(self) -> int:
        """Index of the oldest event that is left; ``next`` if there is none."""
        return self._view.first

    @property
    def next(self) -> int:
        """Index the next event gets."""
        return self._view.next

    @property
    def time(self) -> int:
        """Time of the last batch, in nanoseconds since the epoch; 0 if there is none."""
        return self._view.tail.time

    @property
    def segments(self) -> tuple[SegmentInfo, ...]:
        """The segments, oldest first."""
        closed, active, _ = self._view
        return (*closed, active.info) if active else closed

    @property
    def size(self) -> int:
        """Bytes of the segments, without their sidecars and the zeros behind the last batch."""
        return sum(segment.bytes for segment in self.segments)

    def identity(self, upto: int) -> bytes:
        """A digest of which segments hold the events before *upto*: another if one was removed or written anew."""
        segments = (segment for segment in self.segments if segment.first < upto)
        return digest(b"".join(b"%d %s" % (segment.first, segment.salt) for segment in segments))

    def kept(self, name: str) -> bytes:
        """What was kept beside the segments by this name; nothing if it isn't there, or can't be read."""
        try:
            file = self._files.open(self._directory / name)
        except OSError:
            return b""
        with suppress(OSError), closing(file):
            return file.read(0, file.size())
        return b""

    def open_before(self, index: int) -> list[Segment]:
        """The closed segments wholly before *index*, open: they can be read when they are removed. Not the damaged."""
        found = []
        for info in self._view.closed:
            if info.next <= index:
                with suppress(DamagedLogError, OSError):
                    found.append(_open_closed(self._files, self._cipher, info.path))
        return found

    def read(self, index: int, limit: int = 256 * 1024, most: int = MANY_BATCHES) -> list[Batch]:
        """The batches from the one that has the event *index* on.

        Parameters:
            index: from ``first`` to ``next``.
            limit: about how many bytes to read; at least one batch comes, whatever its size.
            most: how many batches at most.

        Returns:
            Batches without a hole between them, up to the end of a segment at most; none if *index* is
            ``next``. OutOfLogError if it is not in the log, DamagedLogError if it is damaged,
            StorageError if the disk can't be read.
        """
        view = self._view
        first, end = view.first, view.next
        if index == end:
            return []
        if not first <= index < end:
            raise OutOfLogError(f"event {index} is not in the log, which has {first} to {end - 1}")
        try:
            return self._segment_with(view, index).read(index, limit, most)
        except OSError as error:
            raise self._unread(f"event {index}", error) from error

    def batches(self, segment: SegmentInfo) -> Iterator[Batch]:
        """All batches of *segment*. Errors are those of ``read``."""
        index = segment.first
        while index < segment.next:
            for batch in self.read(index, most=_MOST_BATCHES):
                yield batch
                index = batch.next

    def rewrite(
        self, segments: Sequence[SegmentInfo], doomed: Doomed, *, fill: int = 0, condense: bool = False
    ) -> Rewritten | None:
        """The first of *segments* without the events that are *doomed*, for ``Log.replace``; None if it has none.

        They are closed neighbours, oldest first: the next ones are added until there are *fill* bytes. *condense*
        leaves no room to runs of deleted events, which Bus 0.1 can't read. DamagedLogError if some of it can't be read,
        OutOfLogError if it was removed meanwhile, DiskFullError if there is no room for another one beside it,
        StorageError if the disk fails.
        """
        try:
            return rewrite(
                segments, self.batches, doomed,
                fill=fill, condense=condense, files=self._files, cipher=self._cipher,
            )  # fmt: skip
        except OSError as error:
            kind = DiskFullError if error.errno in FULL else StorageError
            raise kind(f"writing {segments[0].path} anew failed: {error.strerror}: nothing was changed") from error

    def forget_opened(self) -> None:
        """Open closed segments anew: others may be in their places."""
        self._open.cache_clear()

    def find_time(self, time: int) -> int:
        """Index of the first event of the first batch of *time* (ns) or later; ``next`` if there is none.

        Two bisections, of the segments and of one index, and then the headers of one stretch.
        """
        closed, active, start = self._view
        number = bisect_left(closed, time, key=lambda segment: segment.last_time)
        with self._reading(f"the first event of time {time}"):
            if number == len(closed):
                return active.find_time(time) if active else start
            with suppress(OutOfLogError):
                return self._opened(closed[number]).find_time(time)
        return self.find_time(time)  # the segment was removed meanwhile

    def find_client_id(self, id_hash: int) -> list[int]:
        """Indexes of the events that have an id with this ``hash_id``, newest first.

        Only ids that were given as ``Batch.client_ids`` are found, and another id may have the same digest.
        """
        with self._reading("client-supplied ids"):
            segments = self._with(lambda info: info.client_ids > 0)
            return [index for segment in segments for index in segment.index.client_ids.find(id_hash)]

    def keyed_batches(self) -> Iterator[Batch]:
        """The batches with a duplicate key, newest first; damaged ones are left out."""
        with self._reading("duplicate keys"):
            for segment in self._with(lambda info: info.keyed):
                yield from segment.keyed_batches()

    def has_grown(self) -> bool:
        """Whether somebody else has begun to add events since the log was opened for reading."""
        active = self._view.active
        with self._reading("what was added"):
            if active and active.is_continued():
                return True
            names = self._files.names(self._directory)
        return segment_path(self._directory, self.next).name in names and not (active and active.base == self.next)

    def hash_id(self, id: bytes) -> int:
        """The 64-bit digest of an event id; keyed by the secret if the log is encrypted."""
        return self._cipher.hash_id(id) if self._cipher else hash_id(id)

    def _with(self, wanted: Callable[[SegmentInfo], bool]) -> Iterator[Segment]:
        """The active segment, and the closed ones that are wanted, newest first."""
        closed, active, _ = self._view
        if active:
            yield active
        for info in filter(wanted, reversed(closed)):
            try:
                yield self._opened(info)
            except OutOfLogError:  # removed by retention, like all before it
                return
            except DamagedLogError:  # it has nothing to give; whoever reads its events is told
                continue

    def _segment_with(self, view: LogView, index: int) -> Segment:
        if view.active and index >= view.active.header.base:
            return view.active
        info = view.closed[bisect_right(view.closed, index, key=lambda segment: segment.first) - 1]
        if index >= info.next:
            raise DamagedLogError(next(damage for damage in self.damage if damage.first <= index < damage.next))
        return self._opened(info)

    def _opened(self, info: SegmentInfo) -> Segment:
        """A closed segment, open; OutOfLogError if it was removed since, DamagedLogError if all of it is damaged."""
        try:
            return self._open(info.path)
        except DamagedLogError as error:
            raise DamagedLogError(replace(error.damage, first=info.first, next=info.next)) from None
        except FileNotFoundError:
            if found := self._covering(info):
                return found
            if info.first >= self.first:
                raise
            raise OutOfLogError(f"event {info.first} was removed from the log, which begins at {self.first}") from None

    def _covering(self, info: SegmentInfo) -> Segment | None:
        """The segment that has the events of *info* by now, if it was written anew together with those before it."""
        self.forget_opened()
        bases = segment_bases(self._files.names(self._directory))
        before = bases[: bisect_left(bases, info.first)]
        found = self._open(segment_path(self._directory, before[-1])) if before else None
        return found if found and found.next >= info.next else None

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._unread(what, error) from error

    def _unread(self, what: str, error: OSError) -> StorageError:
        return StorageError(f"reading {what} in {self._directory} failed: {error}: check the disk")


def _open_closed(files: FileSystem, cipher: Cipher | None, path: Path) -> Segment:
    stored = open_stored(files, path, cipher=cipher)
    if isinstance(stored, UnreadableSegment):
        raise DamagedLogError(Damage(path, 0, stored.base, stored.base + 1, "its header is damaged"))
    return stored.segment()
