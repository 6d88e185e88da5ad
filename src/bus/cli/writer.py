"""Writing the log of one namespace from events that were stored elsewhere."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec.structs import replace

from bus.engine.gathering import BATCH_BYTES, BatchBuilder, Checked, check_draft
from bus.errors import InvalidEventError
from bus.event import Dead, Draft, id_maker
from bus.storage import Batch, Log
from bus.storage.batch import narrow
from bus.subject import DEAD_SEGMENT, parse_subject
from bus.wire import decode_draft, encode_extra, id_of


class StoredEvent(Draft, kw_only=True, forbid_unknown_fields=True):
    """An event as a log holds it and a dump writes it: whoever reads one must not lose a field it doesn't know."""

    index: int = 0
    dead: Dead | None = None


_decoder = msgspec.json.Decoder(StoredEvent)


def decode_stored(line: bytes) -> StoredEvent:
    """Read one line of a dump. Raises `InvalidEventError`."""
    decode_draft(line)  # checks what the decoder passes over inside a payload
    try:
        return _decoder.decode(line)
    except msgspec.ValidationError as error:
        raise InvalidEventError(f"the line is JSON but not a stored event: {error}") from None


def check_stored(event: StoredEvent, *, now: int) -> Checked:
    """Check *event* as the engine checks a draft, and a dead letter as one that the engine wrote. *now* is in ns."""
    if event.dead is None:
        return check_draft(event, now=now)
    about = check_draft(msgspec.structs.replace(event, subject=event.dead.subject), now=now)
    namespace, _ = parse_subject(event.dead.subject)
    if event.subject != f"{namespace}.{DEAD_SEGMENT}.{event.dead.consumer}":
        raise InvalidEventError(f"subject {event.subject!a} is not that of a dead letter of {event.dead.consumer!a}")
    extra = about.extra + encode_extra(dead=event.dead)
    return msgspec.structs.replace(about, subject=event.subject.encode(), extra=extra, key=None)


class LogWriter:
    """A log while it is being written, by events or by whole batches."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self._make_id = id_maker()
        self._empty = not log.segments
        self._gathered = self._builder(log.next)

    def _builder(self, first: int) -> BatchBuilder:
        return BatchBuilder(first, self.log.time, make_id=self._make_id, hash_id=self.log.hash_id)

    def add(self, event: Checked, *, index: int | None, now: int) -> None:
        """Store *event* under the *index* it had, or under the next one for None; *now* is in ns.

        Raises `InvalidEventError` if *index* is not the next one, `StorageError`.
        """
        if index is not None:
            self._check_index(index)
        self._gathered.add(event, now=now)
        if self._gathered.full:
            self._flush()

    def _check_index(self, index: int) -> None:
        if self._empty:
            self._begin_at(index)
        if index != self._gathered.next:
            raise InvalidEventError(
                f"index {index} comes where {self._gathered.next} is due: "
                "a dump has no holes, --append gives new indexes"
            )

    def append(self, batches: Sequence[Batch], *, rehash: bool) -> None:
        """Store batches that follow one another, as they are; *rehash* if their log has another secret."""
        if self._empty:
            self._begin_at(batches[0].first)
        for batch in merge(batches):
            self.log.append(self._rehashed(batch) if rehash and batch.foreign else batch)

    def _rehashed(self, batch: Batch) -> Batch:
        """*batch* with the digests of its ids as this log's secret makes them."""
        edges = batch.offsets()

        def digest(index: int) -> int:
            at = index - batch.first
            return self.log.hash_id(id_of(batch.frames[edges[at] : edges[at + 1]]).encode())

        return replace(batch, foreign=tuple((digest(index), index) for _, index in batch.foreign))

    def _begin_at(self, index: int) -> None:
        self.log.start_at(index)
        self._gathered = self._builder(index)
        self._empty = False

    def _flush(self) -> None:
        if self._gathered.frames:
            self.log.append(self._gathered.build())
            self._gathered = self._builder(self.log.next)

    def close(self) -> None:
        """Make everything durable. Raises `StorageError`."""
        self._flush()
        self.log.close()

    def __repr__(self) -> str:
        return f"<LogWriter of {self.log!r}>"


def merge(batches: Iterable[Batch]) -> Iterator[Batch]:
    """The same events in as few batches as the engine would have made, had they come together.

    A publisher who waits for each answer leaves a batch for every event, which costs more than the event.
    """
    group: list[Batch] = []
    size = 0
    for batch in batches:
        size += len(batch.frames)
        if group and size > BATCH_BYTES:
            yield _join(group)
            group, size = [], len(batch.frames)
        group.append(batch)
    yield _join(group)


def _join(batches: Sequence[Batch]) -> Batch:
    if len(batches) == 1:
        return batches[0]
    subjects: dict[bytes, int] = {}
    which: list[int] = []
    for batch in batches:
        numbers = [subjects.setdefault(subject, len(subjects)) for subject in batch.subjects]
        which += map(numbers.__getitem__, batch.which) if batch.which else numbers * batch.count
    return Batch(
        first=batches[0].first,
        time=batches[-1].time,
        frames=b"".join([batch.frames for batch in batches]),
        lengths=array("I", b"".join([batch.lengths.tobytes() for batch in batches])),
        subjects=tuple(subjects),
        which=narrow(which, len(subjects)),
        keyed=any(batch.keyed for batch in batches),
        foreign=tuple(pair for batch in batches for pair in batch.foreign),
    )
