"""Which bytes of a batch a subscriber gets.

A batch keeps its frames contiguous and knows its distinct subjects. If a filter takes all of them the
whole region goes out in one piece; if none, the batch is skipped; only else is it sliced. So it is when some of its
events have expired, which batches tell by a table that few of them have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, compress, islice, pairwise, repeat, starmap, takewhile
from operator import and_
from typing import NamedTuple

from bus.frame import Format, has_younger_fields, join_frames, lines_in
from bus.storage.batch import Batch
from bus.subject import Filter
from bus.units import BEGINNING

WORK = 20_000
"""Steps of matching that are enough for one turn of the loop: some milliseconds."""

FEW_SUBJECTS = 32
"""So many subjects are matched at once, whatever it costs."""

Taken = Sequence[bool] | bytearray
"""For each distinct subject of a batch, whether it is wanted."""


class Selected(NamedTuple):
    """What a subscriber gets of a batch, how many events that is, and the index to go on from."""

    data: bytes
    events: int
    next: int


def sift(batch: Batch, wanted: Filter, *, start: int, work: int) -> tuple[Taken, int]:
    """Which subjects of *batch* the filter takes from index *start* on, until its ``work`` is beyond *work*.

    Returns them and the index up to which they are known.
    """
    if len(batch.subjects) <= FEW_SUBJECTS:
        return [wanted.matches(subject) for subject in batch.subjects], batch.next
    taken, seen = bytearray(len(batch.subjects)), bytearray(len(batch.subjects))
    begin = max(start, batch.first)
    for index, number in enumerate(batch.which[begin - batch.first :], begin + 1):
        if not seen[number]:
            seen[number] = 1
            taken[number] = wanted.matches(batch.subjects[number])
            if wanted.work > work:
                return taken, index
    return taken, batch.next


def select(
    batch: Batch, taken: Taken, form: Format, *, start: int, limit: int | None = None, until: int | None = None,
    now: int,
) -> Selected:  # fmt: skip
    """The events of *batch* whose subject is *taken*, from index *start* on, at most *limit* and before *until*.

    Those that have expired by *now* (ns) are left out.
    """
    end = batch.next if until is None else min(batch.next, until)
    if not any(taken):
        return Selected(b"", 0, end)
    if batch.core and form is Format.CORE:
        form = Format.SSE
    whole = all(taken) and not batch.has_expired(now)
    if whole and (limit is None or limit >= end - start):
        region = _region(batch, max(start, batch.first), end)
        if form is Format.NDJSON:
            return region._replace(data=lines_in(region.data))
        if form is Format.SSE or not has_younger_fields(region.data):
            return region
    found = list(islice(_sliced(batch, taken, start, end, now=now), limit))
    next_index = found[-1][0] + 1 if found and len(found) == limit else end
    return Selected(join_frames([frame for _, frame in found], form), len(found), next_index)


def _region(batch: Batch, start: int, end: int) -> Selected:
    """All frames from index *start* up to *end*, in one piece."""
    if start == batch.first and end == batch.next:
        return Selected(batch.frames, end - start, end)
    offsets = batch.offsets()
    return Selected(batch.frames[offsets[start - batch.first] : offsets[end - batch.first]], end - start, end)


def cut(
    batches: Iterable[Batch], wanted: Filter, form: Format, *, start: int, limit: int | None = None,
    until: int | None = None, now: int,
) -> Selected:  # fmt: skip
    """The events of *batches* that *wanted* takes, as `select` of each, as far as a turn's work goes."""
    if until is not None and start >= until:
        return Selected(b"", 0, start)
    work, index, events = wanted.work + WORK, start, 0
    pieces = []
    for batch in batches:
        taken, end = sift(batch, wanted, start=index, work=work)
        if until is not None and until < end:
            end = until
        data, count, index = select(
            batch, taken, form, start=index, limit=None if limit is None else limit - events, until=end, now=now
        )
        pieces.append(data)
        events += count
        if index < batch.next or events == limit or (len(taken) > 1 and wanted.work > work):
            break
    return Selected(b"".join(pieces), events, index)


class Matching(NamedTuple):
    """Index and frame of each event that is wanted, before the index ``end``."""

    events: Iterator[tuple[int, bytes]]
    end: int


def matching(
    batches: Iterable[Batch], wanted: Filter, *, start: int, now: int = BEGINNING
) -> Iterator[tuple[int, bytes]]:
    """Index and frame of each event of *batches* that *wanted* takes, from index *start* on.

    Those that have expired by *now* (ns) are left out.
    """
    for batch in batches:
        index = max(start, batch.first)
        while index < batch.next:
            events, index = matching_next((batch,), wanted, start=index, now=now)
            yield from events


def matching_next(batches: Iterable[Batch], wanted: Filter, *, start: int, now: int) -> Matching:
    """What *wanted* takes of *batches*, from index *start* on, as far as a turn's work goes.

    Events that have expired by *now* (ns) are left out.
    """
    work, end = wanted.work + WORK, start
    found: list[Iterator[tuple[int, bytes]]] = []
    for batch in batches:
        taken, end = sift(batch, wanted, start=start, work=work)
        if any(taken):
            found.append(_sliced(batch, taken, start, end, now=now))
        if wanted.work > work:
            break
    return Matching(chain.from_iterable(found), end)


class Counted(NamedTuple):
    """How many events are wanted, before the index ``end``."""

    events: int
    end: int


def count_next(
    batches: Iterable[Batch], wanted: Filter, *, start: int, until: int | None = None, now: int = BEGINNING
) -> Counted:
    """How many events *wanted* takes of *batches*, from index *start* on, as far as a turn's work goes.

    Those at *until* and behind it don't count, nor do those that have expired by *now* (ns).
    """
    work, end, events = wanted.work + WORK, start, 0
    for batch in batches:
        taken, end = sift(batch, wanted, start=start, work=work)
        events += _count(batch, taken, start, end if until is None else min(end, until), now)
        if wanted.work > work:
            break
    return Counted(events, end)


def _count(batch: Batch, taken: Taken, start: int, end: int, now: int) -> int:
    skipped = max(start - batch.first, 0)
    place = max(end - batch.first, skipped)
    if all(taken) and not batch.has_expired(now):
        return place - skipped
    return sum(islice(_wanted(batch, taken, now), skipped, place)) if any(taken) else 0


def _sliced(batch: Batch, taken: Taken, start: int, end: int, *, now: int) -> Iterator[tuple[int, bytes]]:
    """Index and frame of each event whose subject is taken and that hasn't expired, from *start* on before *end*."""
    events = _sliced_from(batch, taken, start, now)
    return events if end >= batch.next else takewhile(lambda event: event[0] < end, events)


def _sliced_from(batch: Batch, taken: Taken, start: int, now: int) -> Iterator[tuple[int, bytes]]:
    skipped = max(start - batch.first, 0)
    indexes: Iterable[int] = range(batch.first + skipped, batch.next)
    spans: Iterable[slice] = starmap(slice, islice(pairwise(batch.offsets()), skipped, None))
    if not all(taken) or batch.has_expired(now):
        wanted = list(islice(_wanted(batch, taken, now), skipped, None))
        indexes, spans = compress(indexes, wanted), compress(spans, wanted)
    # A generator expression would slice all at once, once it is compiled.
    return zip(indexes, map(batch.frames.__getitem__, spans), strict=True)


def _wanted(batch: Batch, taken: Taken, now: int) -> Iterable[int]:
    """For each event of the batch, whether its subject is taken and it hasn't expired."""
    mask = repeat(1) if all(taken) else _mask(batch, taken)
    return map(and_, mask, map(now.__lt__, batch.expires)) if batch.has_expired(now) else mask


def _mask(batch: Batch, taken: Taken) -> Iterable[int]:
    """For each event of the batch, whether its subject is taken."""
    if isinstance(batch.which, bytes):
        return batch.which.translate(bytes(taken).ljust(256, b"\0"))
    return map(taken.__getitem__, batch.which)
