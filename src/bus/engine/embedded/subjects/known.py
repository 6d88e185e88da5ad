"""What is known of subjects at one moment: by rows, by what is being written to them, and by what was counted since.

    rows of `SubjectStore`  +  set out (on their way into rows)  +  counted (since then)  =  what is known

A transaction may have ended before the loop hears of it, so a row is read together with the generation that it is of.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bus.engine.embedded.subjects.changes import Changes
from bus.engine.embedded.subjects.rows import NOTHING, Covered, SubjectRow
from bus.engine.embedded.subjects.store import SubjectStore
from bus.storage.batch import Batch
from bus.subject import Filter


class KnownSubjects:
    """The rows of *store*, which are ``of`` part of a log, or will be as ``ordered``; and what was counted since."""

    def __init__(self, store: SubjectStore) -> None:
        self._store = store
        self._counted = Changes()
        self._out = Changes()
        self._out_events = 0
        self.of = self.ordered = NOTHING

    def begin(self, covered: Covered) -> None:
        """Know what the rows know, which are of *covered*, and no more."""
        self.of = self.ordered = covered
        self.forget_counted()

    # -- what is counted

    @property
    def counted(self) -> Changes:
        """What was counted and isn't on its way into rows."""
        return self._counted

    def count(self, batches: Iterable[Batch]) -> None:
        """Add the events of *batches*."""
        self._counted.count(batches)

    def add(self, later: Changes) -> None:
        """Add what was counted elsewhere."""
        self._counted.merge(later)

    def forget_counted(self) -> None:
        """Know only what is in rows, or on its way there."""
        self._counted = Changes()

    # -- what is written

    def set_out(self, covered: Covered) -> Changes:
        """What was counted is being written from now on, and rows will be of *covered*."""
        self._out, self._counted = self._counted, Changes()
        self._out_events, self.ordered = self._out.events, covered
        return self._out

    def arrive(self, covered: Covered) -> None:
        """What was being written is in rows, which are of *covered* now."""
        self.of = self.ordered = covered
        self._out, self._out_events = Changes(), 0

    def take_back(self) -> None:
        """What was being written isn't in rows."""
        self._out.merge(self._counted)
        self._counted = self._out
        self.ordered = self.of._replace(generation=self.ordered.generation)
        self._out, self._out_events = Changes(), 0

    @property
    def was_written(self) -> bool:
        """Whether what set out last is in rows, even if nobody has heard of it."""
        return self._store.generation() >= self.ordered.generation

    # -- what is asked; all may raise a `StorageError`

    @property
    def events(self) -> int:
        """How many events there are of all subjects."""
        return self.of.events + self._out_events + self._counted.events

    def find(self, subject: bytes) -> SubjectRow:
        """What is known of *subject*; it has no events if that is nothing."""
        with self._store.lock:
            generation, row = self._store.find(subject)
            if generation < self.ordered.generation:
                row = row.with_change(self._out.get(subject))
        return row.with_change(self._counted.get(subject))

    def newest(self, wanted: Filter, start: int, end: int, limit: int) -> tuple[Sequence[SubjectRow], int]:
        """At most *limit* rows whose newest event is at *start* or later and before *end*, as written, oldest first.

        With the index to go on from; few that *wanted* doesn't take are among them.
        """
        return self._store.newest(wanted, start, end, limit)

    def has_moved(self, subject: bytes) -> bool:
        """Whether the newest event of *subject* is another than the one that is written."""
        return subject in self._counted or subject in self._out

    def __repr__(self) -> str:
        return f"<KnownSubjects {self.events} events, {len(self._counted)} subjects not written>"
