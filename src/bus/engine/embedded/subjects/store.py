"""The rows of a table of subjects: written, taken away, and asked for. Where they are is ``file.py``'s matter.

One thread at a time writes; another may read meanwhile, and sees what the last transaction left.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from bus.engine.embedded.subjects.changes import Changes
from bus.engine.embedded.subjects.file import SubjectFile
from bus.engine.embedded.subjects.piece_reader import ROWS_TOGETHER, PieceReader
from bus.engine.embedded.subjects.queries import count_newest, count_subjects, matching_subjects, newest_of
from bus.engine.embedded.subjects.rows import Covered, SubjectRow, checked, stored
from bus.engine.embedded.subjects.span import EVERYTHING, Span, as_glob
from bus.engine.embedded.subjects.stretches import Stretch, add_stretch, places_of
from bus.engine.reading.places import EVERYWHERE, Place, Places
from bus.storage.rewriting import Gone
from bus.subject import Filter
from bus.units import NEVER

T = TypeVar("T")

STEP = 64
"""Rows that are written before the lock is let go: about 2 ms of it."""

TURN_ROWS = 8192
"""Rows whose subjects are compared with patterns in one turn of the loop: about 3 ms of it."""

NEAR_EVENTS = 32_768
"""So many events are looked through in the log sooner than it is found out which of them are of interest."""

MANY_EVENTS = 1000
"""Where so many are near, those before them are dense enough as well."""

_PUT = (
    "INSERT INTO subject (subject, events, last, time, crc) VALUES (?, ?, ?, ?, ?) ON CONFLICT (subject) DO UPDATE "
    "SET events = excluded.events, last = excluded.last, time = excluded.time, crc = excluded.crc"
)
_COVER = "UPDATE covered SET upto = ?, segments = ?, generation = ?, events = events + ?"
_DELETE = "DELETE FROM subject WHERE subject = ?"
_NEXT_TURN = "SELECT last FROM subject WHERE last >= ? ORDER BY last LIMIT 1 OFFSET ?"
_COLUMNS = "SELECT subject, events, last, time, crc FROM subject"


Fewer = Mapping[bytes, Gone]
"""How many events of each subject are gone; the newest of them is 0 where older ones are gone than are left."""

NewestEvents = Mapping[bytes, tuple[int, int]]
"""Index and time (ns) of the newest event of each subject that has one."""

NewestBefore = Callable[[Mapping[bytes, int]], NewestEvents]
"""Looks for the newest event of each subject before an index."""


class SubjectStore(SubjectFile):
    """The rows in a file, or in memory.

    One thread does all but `find` and `newest`, which are for another. In memory, where both share a connection, each
    holds ``lock`` for a moment at a time, however many rows there are: the other is the loop of the server.
    """

    # -- writing

    def apply(self, changes: Changes, fewer: Sequence[Fewer], covered: Covered, newest_before: NewestBefore) -> int:
        """Have *changes*, and then *fewer* events, in the rows, which are of *covered* from then on.

        Of a subject whose newest event is gone *newest_before* tells which is the newest now. Returns how many events
        there are in the rows. Raises a `StorageError`, and nothing is changed.
        """
        more = changes.events
        with self.writing() as database:
            self._add_stretch(database, covered.upto, changes)
            self._put(database, changes)
            if fewer:
                self.discard_sealed()
            for gone in fewer:
                more -= self._take_away(database, gone, newest_before)
            database.execute(_COVER, (covered.upto, covered.segments, covered.generation, more))
            (events,) = database.execute("SELECT events FROM covered").fetchone()
        return int(events)

    def _add_stretch(self, database: sqlite3.Connection, upto: int, changes: Changes) -> None:
        with self.lock:
            (begin,) = database.execute("SELECT upto FROM covered").fetchone()
        if begin < upto:
            later = Stretch.of(begin, upto, changes)
            with self.lock:
                add_stretch(database, later)

    def _put(self, database: sqlite3.Connection, changes: Changes) -> None:
        """In memory, a change is not among *changes* any more as soon as its row has it."""
        for some in _pieces(list(changes)):
            with self.lock:
                found = [_row(database, subject).with_change(changes[subject]) for subject in some]
                database.executemany(_PUT, map(stored, found))
                if self.in_memory:
                    for subject in some:
                        del changes[subject]

    def _take_away(self, database: sqlite3.Connection, fewer: Fewer, newest_before: NewestBefore) -> int:
        """Returns how many events that were."""
        headless: dict[bytes, int] = {}
        taken = 0
        for some in _pieces(list(fewer)):
            with self.lock:
                rows = {subject: _row(database, subject) for subject in some}
                left = [row._replace(events=max(row.events - fewer[row.subject].events, 0)) for row in rows.values()]
                taken += sum(rows[row.subject].events - row.events for row in left)
                headless |= {row.subject: row.last for row in left if row.last == fewer[row.subject].newest}
                database.executemany(_DELETE, [(row.subject,) for row in left if not row.events])
                database.executemany(_PUT, [stored(row) for row in left if row.events])
        return taken + self._crown(database, headless, newest_before(headless) if headless else {})

    def _crown(self, database: sqlite3.Connection, headless: Iterable[bytes], newest: NewestEvents) -> int:
        """Give rows whose newest event is gone the *newest* that is left; those without any are no rows any more.

        Returns how many events these had.
        """
        lost = 0
        for subject in headless:
            with self.lock:
                row = _row(database, subject)
                if subject in newest and row.events > 0:
                    last, time = newest[subject]
                    database.execute(_PUT, stored(row._replace(last=last, time=time)))
                else:
                    lost += row.events
                    database.execute(_DELETE, (subject,))
        return lost

    # -- reading

    def find(self, subject: bytes) -> tuple[int, SubjectRow]:
        """The row of *subject*, and of which generation it is; it has no events if there is none.

        Raises a `StorageError`, as all that read do.
        """
        try:
            generation, *row = self.reader.execute(
                "SELECT generation, subject, subject.events, last, time, crc FROM covered "
                "LEFT JOIN subject ON subject = ?",
                (subject,),
            ).fetchone()
            return generation, checked(row) if row[0] else SubjectRow(subject, 0, 0, 0)
        except (sqlite3.Error, TypeError) as error:
            raise self.as_storage_error(error) from None

    def newest(self, wanted: Filter, start: int, end: int, limit: int) -> tuple[list[SubjectRow], int]:
        """At most *limit* rows whose newest event is at *start* or later and before *end*, oldest first; and the index
        to go on from.

        Few that *wanted* doesn't take are among them. So many rows are looked at as one turn has time for.
        """
        globs = [as_glob(pattern) for pattern in wanted.patterns]
        taken = " OR ".join(["CAST(subject AS TEXT) GLOB ?"] * len(globs))
        where = f"WHERE last >= ? AND last < ? AND ({taken}) ORDER BY last LIMIT ?"
        end = min(end, self._after_turn(start))
        rows = self._rows(self.reader, where, (start, end, *globs, limit))
        return rows, rows[-1].last + 1 if len(rows) == limit else max(start, end)

    def _after_turn(self, start: int) -> int:
        """The newest event of the first row that is left for the next turn."""
        try:
            with self.lock:
                found = self.reader.execute(_NEXT_TURN, (start, TURN_ROWS)).fetchone()
        except sqlite3.Error as error:
            raise self.as_storage_error(error) from None
        return int(found[0]) if found else NEVER

    def generation(self) -> int:
        """How many transactions the rows have seen."""
        return self.find(b"")[0]

    def by_subject(self, start: bytes, end: bytes, limit: int) -> list[SubjectRow]:
        """At most *limit* rows from the subject *start* on and before *end*, in the order of their bytes."""
        return self._rows(
            self.writer, "WHERE subject >= ? AND subject < ? ORDER BY subject LIMIT ?", (start, end, limit)
        )

    def places(self, wanted: Filter, end: int, *, events: int, few: int) -> Places:
        """Where the newest *events* before *end* may be that *wanted* takes; the last place is what isn't written yet.

        If they are near, that is everywhere. If *wanted* takes more than *few* subjects, it is everything before the
        newest event of these. Raises a `StorageError`.

        In memory others have their turn in between. What these write and take away leaves no place out, and has none
        end too early: how far rows go is asked first, everything from there on is a place, and a subject that is
        there all the time is met.
        """
        try:
            rows = self._by_pieces()
            ((upto,),) = rows.read("SELECT upto FROM covered", ())
            if _are_near(rows, wanted, min(end, upto), events):
                return EVERYWHERE
            subjects = matching_subjects(rows, wanted, most=few)
            if subjects is None:
                return Places([Place(0, newest_of(rows, wanted) + 1), Place(upto, NEVER)])
            return Places([*places_of(rows, subjects), Place(upto, NEVER)], subjects, upto)
        except sqlite3.Error as error:
            raise self.as_storage_error(error) from None

    def count_outside(self, span: Span) -> int:
        """How many rows there are but for those in *span*."""
        try:
            rows = self._by_pieces()
            return count_subjects(rows, EVERYTHING) - count_subjects(rows, span)
        except sqlite3.Error as error:
            raise self.as_storage_error(error) from None

    def _by_pieces(self) -> PieceReader:
        return PieceReader(self.writer, self.lock, rows=ROWS_TOGETHER if self.in_memory else None)

    def _rows(self, database: sqlite3.Connection, where: str, values: Sequence[object]) -> list[SubjectRow]:
        try:
            with self.lock:
                found = database.execute(f"{_COLUMNS} {where}", values).fetchall()
            return [checked(row) for row in found]
        except sqlite3.Error as error:
            raise self.as_storage_error(error) from None


def _are_near(rows: PieceReader, wanted: Filter, end: int, events: int) -> bool:
    """Whether *events* that *wanted* takes lie shortly before *end*, or so many that it won't take long."""
    if wanted.subjects:
        return False
    enough = min(events, MANY_EVENTS)
    return count_newest(rows, wanted, end - NEAR_EVENTS, end, most=enough) == enough


def _row(database: sqlite3.Connection, subject: bytes) -> SubjectRow:
    """The row of *subject*; it has no events if there is none."""
    row = database.execute(f"{_COLUMNS} WHERE subject = ?", (subject,)).fetchone()
    return checked(row) if row else SubjectRow(subject, 0, 0, 0)


def _pieces(rows: list[T]) -> Iterator[list[T]]:
    return (rows[start : start + STEP] for start in range(0, len(rows), STEP))
