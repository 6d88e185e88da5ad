"""Writing the log of one namespace from events that were stored elsewhere."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, count, repeat

from msgspec.structs import replace

from bus.engine.embedded.batch_builder import BATCH_BYTES, BATCH_EVENTS
from bus.event import carry_indexes, expiry, id_maker, index_in
from bus.frame import encode_extra, encode_frame, id_of
from bus.storage import Batch, Log
from bus.storage.batch import narrow
from bus.transfer.admission import StoredEvent
from bus.units import NEVER, format_time, parse_time


class LogWriter:
    """A log while it is being written, by events or by whole batches.

    ``due`` is the index that the next event has where it comes from, None as long as any may be the first.
    """

    def __init__(self, log: Log) -> None:
        self.log = log
        self.due: int | None = None
        self._make_id = id_maker()
        self._empty = not log.segments
        self._frames: list[bytes] = []
        self._events: list[StoredEvent] = []
        self._client_ids: list[tuple[int, int]] = []
        self._size = 0

    def begin_at(self, index: int) -> None:
        """Have the first event be *index*, if the log is empty."""
        if self._empty:
            self.log.start_at(index)
            self._empty = False

    def add(self, events: Sequence[StoredEvent], *, now: int) -> None:
        """Store *events*, which were admitted, under the next indexes; *now* is in ns. Raises `StorageError`.

        Those that bring no id or no time are given one.
        """
        self._empty = False
        first = self.log.next + len(self._frames)
        self._name(events, first, now)
        extras = {index: _extra(event) for index, event in enumerate(events, first) if event.has_more}
        frames = [
            encode_frame(
                event.id or "",
                (event.subject or "").encode(),
                bytes(event.payload),
                event.created_at or "",
                index,
                extras.get(index, b""),
            )
            for index, event in enumerate(events, first)
        ]
        self._frames += frames
        self._events += events
        self._size += sum(map(len, frames))
        if self._size >= BATCH_BYTES or len(self._frames) >= BATCH_EVENTS:
            self._flush(now)

    def _name(self, events: Sequence[StoredEvent], first: int, now: int) -> None:
        """Give an id and a time to *events* that bring none, and note the ids that don't carry their index."""
        if all(event.created_at for event in events) and carry_indexes([event.id or "" for event in events], first):
            return
        created_at = format_time(now)
        for index, event in enumerate(events, first):
            event.id = event.id or self._make_id(index)
            event.created_at = event.created_at or created_at
            if index_in(event.id) != index:
                self._client_ids.append((self.log.hash_id(event.id.encode()), index))

    def _flush(self, now: int) -> None:
        if not self._frames:
            return
        events = self._events
        names = [event.subject or "" for event in events]
        subjects = dict(zip(dict.fromkeys(names), count(), strict=False))
        latest = parse_time(max([event.created_at or "" for event in events]))
        batch = Batch(
            first=self.log.next,
            next=self.log.next + len(events),
            time=max(self.log.time, min(latest, now)),
            frames=b"".join(self._frames),
            lengths=array("I", map(len, self._frames)),
            subjects=tuple(subject.encode() for subject in subjects),
            which=narrow(map(subjects.__getitem__, names), len(subjects)),
            keyed=any(event.key and not event.dead for event in events),
            client_ids=tuple(self._client_ids),
            expires=_expiries(events),
        )
        self._frames, self._events, self._client_ids, self._size = [], [], [], 0
        self.log.append(batch)

    def append(self, batches: Sequence[Batch], *, rehash: bool) -> None:
        """Store batches that follow one another, as they are; *rehash* if their log has another secret."""
        self.begin_at(batches[0].first)
        for batch in merge(batches):
            if batch.is_run:
                self.log.append_run(batch)
            else:
                self.log.append(self._rehashed(batch) if rehash and batch.client_ids else batch)

    def _rehashed(self, batch: Batch) -> Batch:
        """*batch* with the digests of its ids as this log's secret makes them."""
        edges = batch.offsets()

        def digest(index: int) -> int:
            at = index - batch.first
            return self.log.hash_id(id_of(batch.frames[edges[at] : edges[at + 1]]).encode())

        return replace(batch, client_ids=tuple((digest(index), index) for _, index in batch.client_ids))

    def close(self, *, now: int, flush: bool = True) -> None:
        """Make everything durable, unless not to *flush*: then what is gathered is left. Raises `StorageError`."""
        if flush:
            self._flush(now)
        self.log.close()

    def __repr__(self) -> str:
        return f"<LogWriter of {self.log!r}>"


def _extra(event: StoredEvent) -> bytes:
    return encode_extra(
        key=event.key,
        trace_id=event.trace_id,
        response_subject=event.response_subject,
        headers=event.headers,
        ttl=event.ttl,
        dead=event.dead,
    )


def _expiries(events: Sequence[StoredEvent]) -> array[int] | tuple[()]:
    """``Batch.expires`` of *events*, which have times."""
    if not any(event.ttl for event in events):
        return ()
    return array(
        "q", [expiry(event.ttl, parse_time(event.created_at or "")) if event.ttl else NEVER for event in events]
    )


def merge(batches: Iterable[Batch]) -> Iterator[Batch]:
    """The same events in as few batches as the engine would have made, had they come together.

    A publisher who waits for each answer leaves a batch for every event, which costs more than the event. Runs of
    deleted events stay what they are.
    """
    group: list[Batch] = []
    size = 0
    for batch in batches:
        size += len(batch.frames)
        if group and (size > BATCH_BYTES or batch.is_run or group[-1].is_run):
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
        next=batches[-1].next,
        time=batches[-1].time,
        frames=b"".join([batch.frames for batch in batches]),
        lengths=array("I", b"".join([batch.lengths.tobytes() for batch in batches])),
        subjects=tuple(subjects),
        which=narrow(which, len(subjects)),
        keyed=any(batch.keyed for batch in batches),
        client_ids=tuple(pair for batch in batches for pair in batch.client_ids),
        expires=array("q", chain.from_iterable([batch.expires or repeat(NEVER, batch.count) for batch in batches]))
        if any(batch.expires for batch in batches)
        else (),
        core=all(batch.core for batch in batches),
    )
