"""What events mean for the table of subjects: how many more there are of each, and which is the newest.

    batches ──counted──▶ events {subject: +n}, last {subject: index} ──────────┐
               └───────▶ first index and time of each batch ──looked up later──┴─▶ added to rows

Counting takes the tables of batches, never frames. A publish pays for it, so it is done in loops of the interpreter's
own, a dictionary at a time: a batch of one subject costs one step, another less than 0.1 µs an event.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from bus.storage.batch import NO_SUBJECT, Batch

BATCHES = 8
"""As many of them take about as much memory as a subject does."""


class Change(NamedTuple):
    """So many more events of a subject; ``last`` is the newest of them, ``time`` that of its batch, in ns."""

    events: int
    last: int
    time: int


class Changes:
    """Changes by subject (UTF-8), of so many ``events`` in all."""

    __slots__ = ("_events", "_firsts", "_last", "_times", "events")

    def __init__(self) -> None:
        self.events = 0
        self._events: Counter[bytes] = Counter()
        self._last: dict[bytes, int] = {}
        self._firsts = array("q")
        self._times = array("q")

    def count(self, batches: Iterable[Batch], *, start: int = 0) -> None:
        """Add the events of *batches*, which follow those before, from index *start* on."""
        for batch in batches:
            if len(batch.subjects) == 1 and start <= batch.first:
                (subject,) = batch.subjects
                self._events[subject] += len(batch.lengths)
                self._last[subject] = batch.last
            elif start < batch.next:
                self._count_mixed(batch, max(start, batch.first))
            self._firsts.append(batch.first)
            self._times.append(batch.time)
            self.events += max(batch.next - max(start, batch.first), 0)
        if NO_SUBJECT in self._last:
            del self[NO_SUBJECT]

    def _count_mixed(self, batch: Batch, start: int) -> None:
        subjects: Sequence[bytes] = batch.subjects
        if start > batch.first or len(subjects) < batch.count:
            which = batch.which or bytes(batch.count)
            subjects = list(map(subjects.__getitem__, which[start - batch.first :]))
        self._events.update(subjects)
        self._last.update(zip(subjects, range(start, batch.next), strict=True))

    def merge(self, later: Changes) -> None:
        """Add those that are *later*."""
        self._events.update(later._events)
        self._last.update(later._last)
        self._firsts += later._firsts
        self._times += later._times
        self.events += later.events

    def get(self, subject: bytes) -> Change | None:
        """What has changed of *subject*; None if nothing has."""
        return self[subject] if subject in self._last else None

    def __getitem__(self, subject: bytes) -> Change:
        last = self._last[subject]
        return Change(self._events[subject], last, self._times[bisect_right(self._firsts, last) - 1])

    def __delitem__(self, subject: bytes) -> None:
        self.events -= self._events.pop(subject)
        del self._last[subject]

    @property
    def size(self) -> int:
        """How much it keeps in memory: as much as so many subjects, or as their batches take."""
        return max(len(self._last), len(self._firsts) // BATCHES)

    def __contains__(self, subject: bytes) -> bool:
        return subject in self._last

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._last)

    def __len__(self) -> int:
        return len(self._last)

    def __repr__(self) -> str:
        return f"<Changes of {len(self)} subjects>"
