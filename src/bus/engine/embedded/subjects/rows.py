"""The rows of a table of subjects: what each says, how it is known to be whole, and what all of them are of."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Sequence
from struct import Struct
from typing import Any, NamedTuple

import msgspec
from crc32c import crc32c

from bus.engine.embedded.subjects.changes import Change

_NUMBERS = Struct("<qqq")


class SubjectRow(NamedTuple):
    """What is known of a subject: how many of its events are left, index and time (ns) of the newest."""

    subject: bytes
    events: int
    last: int
    time: int

    def with_change(self, change: Change | None) -> SubjectRow:
        """The row once it has the *change*, if there is one."""
        return SubjectRow(self.subject, self.events + change.events, change.last, change.time) if change else self


class Covered(NamedTuple):
    """What rows are of: the events before ``upto`` in the segments of the digest ``segments``.

    ``generation`` counts the transactions; there are so many ``events`` in the rows.
    """

    upto: int
    segments: bytes
    generation: int
    events: int = 0


NOTHING = Covered(0, b"", 0)
"""What rows are of that are none."""


def read_covered(stored: tuple[object, ...]) -> Covered:
    """What rows say that they are of. Raises `sqlite3.DatabaseError` if that can't be read."""
    try:
        return msgspec.convert(stored, Covered)
    except msgspec.ValidationError:
        raise sqlite3.DatabaseError("it doesn't say what it is of") from None


def stored(row: SubjectRow) -> tuple[object, ...]:
    """The row as it is stored, with its checksum."""
    return (*row, _checksum(row))


def checked(found: Sequence[Any]) -> SubjectRow:
    """The row as it was stored. Raises `sqlite3.DatabaseError` if that isn't what was written."""
    row = SubjectRow(*found[:4])
    try:
        if _checksum(row) == found[4]:
            return row
    except (TypeError, struct.error):
        pass
    raise sqlite3.DatabaseError("a row is damaged")


def _checksum(row: SubjectRow) -> int:
    return crc32c(_NUMBERS.pack(*row[1:]) + row.subject)
