"""Stretches of a log, and which subjects have events in each: where to look for those of a few subjects.

A stretch keeps the CRC-32C of each subject, sorted, 4 bytes each. Of two subjects that have the same one, one may be
looked for in vain; none is missed. Deleted events leave stretches as they were, for the same reason. A stretch is what
was counted before it was written; small neighbours become one, so that a quiet log has no more of them than a busy one.
"""

from __future__ import annotations

import sqlite3
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence, Set
from typing import NamedTuple

from crc32c import crc32c

from bus.engine.embedded.subjects.piece_reader import PieceReader
from bus.engine.reading.places import Place

MOST_EVENTS = 8192
"""Stretches of fewer events become one."""

FEW_DIGESTS = 256
"""So many are searched for one by one, which is quicker than to look at each digest of a stretch."""

PIECE_STRETCHES = 8
"""So many are read before others have their turn."""

_SOME = "SELECT * FROM stretch WHERE first >= ? ORDER BY first LIMIT ?"

CREATE_STRETCHES = "CREATE TABLE stretch (first INTEGER PRIMARY KEY, next INTEGER, subjects BLOB, crc INTEGER)"


class Stretch(NamedTuple):
    """The events from ``first`` on and before ``next`` have ``subjects``: their digests, sorted."""

    first: int
    next: int
    subjects: bytes

    @classmethod
    def of(cls, first: int, following: int, subjects: Iterable[bytes]) -> Stretch:
        """The stretch with events of these *subjects*."""
        return cls(first, following, array("I", sorted(set(map(crc32c, subjects)))).tobytes())

    def with_next(self, later: Stretch) -> Stretch:
        """This and the *later* one as one."""
        both = {*array("I", self.subjects), *array("I", later.subjects)}
        return Stretch(self.first, later.next, array("I", sorted(both)).tobytes())

    def goes_with(self, later: Stretch) -> bool:
        """Whether both are small enough to be one."""
        return self.next == later.first and later.next - self.first <= MOST_EVENTS

    def may_have(self, digests: Set[int]) -> bool:
        """Whether events of a subject with one of these *digests* may be in it."""
        found = array("I", self.subjects)
        if len(digests) > FEW_DIGESTS:
            return not digests.isdisjoint(found)
        places = ((bisect_left(found, digest), digest) for digest in digests)
        return any(place < len(found) and found[place] == digest for place, digest in places)


def add_stretch(database: sqlite3.Connection, later: Stretch) -> None:
    """Keep another stretch, behind those that are kept."""
    before = database.execute("SELECT * FROM stretch ORDER BY first DESC LIMIT 1").fetchone()
    if before and (last := _checked(before)).goes_with(later):
        later = last.with_next(later)
    checksum = _checksum(later)
    database.execute("INSERT OR REPLACE INTO stretch VALUES (?, ?, ?, ?)", (*later, checksum))


def places_of(rows: PieceReader, subjects: Iterable[bytes]) -> list[Place]:
    """The stretches in which these *subjects* may have events, those that touch as one, oldest first."""
    digests = set(map(crc32c, subjects))
    found: list[Place] = []
    for stretch in _stretches(rows):
        if not stretch.may_have(digests):
            continue
        if found and found[-1].next == stretch.first:
            found[-1] = Place(found[-1].first, stretch.next)
        else:
            found.append(Place(stretch.first, stretch.next))
    return found


def _stretches(rows: PieceReader) -> Iterator[Stretch]:
    """All of them, some at a time; what is added behind the last one meanwhile may be among them."""
    following = 0
    while some := [_checked(row) for row in rows.read(_SOME, (following, PIECE_STRETCHES))]:
        yield from some
        following = some[-1].first + 1


def _checked(row: Sequence[object]) -> Stretch:
    """The stretch as it was stored. Raises `sqlite3.DatabaseError` if that isn't what was written."""
    match row:
        case (int(first), int(following), bytes(subjects), crc) if len(subjects) % 4 == 0:
            stretch = Stretch(first, following, subjects)
            if _checksum(stretch) == crc:
                return stretch
    raise sqlite3.DatabaseError("a stretch is damaged")


def _checksum(stretch: Stretch) -> int:
    return crc32c(b"%d %d " % stretch[:2] + stretch.subjects)
