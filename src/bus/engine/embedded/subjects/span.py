"""Where the subjects lie that patterns may take, in the order of their bytes, and what their rows say together.

app.a   app.b.x   app.b.y   app.c         app.b.*: only what lies between app.b. and what follows it is read
          └───────────┘
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from bus.subject import Filter, Pattern

_TAKEN = "subject >= ? AND subject < ? AND CAST(subject AS TEXT) GLOB ? AND CAST(subject AS TEXT) NOT GLOB ?"
_LIKE = f"SELECT subject FROM subject WHERE {_TAKEN}"
_NEWEST = f"SELECT max(last) FROM subject WHERE {_TAKEN}"
_BETWEEN = f"SELECT last FROM subject WHERE last >= ? AND last < ? AND {_TAKEN} ORDER BY last DESC LIMIT ?"
_BEHIND = b"\xff"
"""Comes behind all that UTF-8 may go on with."""


@dataclass(frozen=True, slots=True)
class Span:
    """From ``start`` on, and before ``end``."""

    start: bytes
    end: bytes

    @classmethod
    def of(cls, *patterns: Pattern) -> Span:
        """The span of all *patterns*."""
        prefixes = [_literal(pattern) for pattern in patterns]
        return cls(min(prefixes), max(prefixes) + _BEHIND)


def _literal(pattern: Pattern) -> bytes:
    """What comes before the first wildcard."""
    text, _, _ = pattern.text.removesuffix(">").partition("*")
    return text.encode()


def matching_subjects(database: sqlite3.Connection, wanted: Filter, *, most: int) -> set[bytes] | None:
    """The subjects that *wanted* takes; None if there are more than *most*."""
    found: set[bytes] = set()
    for pattern in wanted.patterns:
        for (subject,) in database.execute(_LIKE, _taken_by(pattern)):
            if wanted.matches(subject):
                found.add(subject)
            if len(found) > most:
                return None
    return found


def newest_of(database: sqlite3.Connection, wanted: Filter) -> int:
    """Index of the newest event of all subjects that *wanted* takes, or a few more; 0 if there is none."""
    found = [database.execute(_NEWEST, _taken_by(pattern)).fetchone() for pattern in wanted.patterns]
    return max(int(newest or 0) for (newest,) in found)


def count_newest(database: sqlite3.Connection, wanted: Filter, start: int, end: int, *, most: int) -> int:
    """How many of the newest events of subjects that *wanted* takes, or a few more, are at *start* or later.

    They are before *end*, and *most* at most.
    """
    found: set[int] = set()
    for pattern in wanted.patterns:
        rows = database.execute(_BETWEEN, (start, end, *_taken_by(pattern), most))
        found.update(last for (last,) in rows)
    return min(len(found), most)


def _taken_by(pattern: Pattern) -> tuple[object, ...]:
    """The values for what takes the subjects of *pattern*; those of `x.*.y.>` may have more between x and y."""
    span, dots = Span.of(pattern), pattern.text.count(".")
    longer = "" if pattern.text.endswith(">") else "*.*" + ".*" * dots
    return span.start, span.end, as_glob(pattern), longer


def as_glob(pattern: Pattern) -> str:
    """What SQLite compares subjects with; its `*` takes dots as well. No other character means anything to it."""
    return f"{pattern.text[:-1]}*" if pattern.text.endswith(">") else pattern.text
