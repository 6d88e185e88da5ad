"""Queries of the rows that patterns may take, and of what these say: piece by piece, so others have their turn."""

from __future__ import annotations

from bus.engine.embedded.subjects.piece_reader import PieceReader
from bus.engine.embedded.subjects.span import EVERYTHING, Span, as_glob
from bus.subject import Filter, Pattern

_TAKEN = "subject >= ? AND subject < ? AND CAST(subject AS TEXT) GLOB ? AND CAST(subject AS TEXT) NOT GLOB ?"
_LIKE = f"SELECT subject FROM subject WHERE {_TAKEN}"
_NEWEST = f"SELECT max(last) FROM subject WHERE {_TAKEN}"
_BETWEEN = f"SELECT last FROM subject WHERE last >= ? AND last < ? AND {_TAKEN} ORDER BY last DESC LIMIT ?"
_COUNT_ALL = "SELECT count(*) FROM subject"
_COUNT = "SELECT count(*) FROM subject WHERE subject >= ? AND subject < ?"


def matching_subjects(rows: PieceReader, wanted: Filter, *, most: int) -> set[bytes] | None:
    """The subjects that *wanted* takes; None if there are more than *most*."""
    found: set[bytes] = set()
    for pattern in wanted.patterns:
        for piece in rows.pieces(Span.of(pattern)):
            for (subject,) in rows.read(_LIKE, _taken_by(pattern, piece)):
                if wanted.matches(subject):
                    found.add(subject)
                if len(found) > most:
                    return None
    return found


def newest_of(rows: PieceReader, wanted: Filter) -> int:
    """Index of the newest event of all subjects that *wanted* takes, or a few more; 0 if there is none."""
    newest = 0
    for pattern in wanted.patterns:
        for piece in rows.pieces(Span.of(pattern)):
            ((found,),) = rows.read(_NEWEST, _taken_by(pattern, piece))
            newest = max(newest, found or 0)
    return newest


def count_newest(rows: PieceReader, wanted: Filter, start: int, end: int, *, most: int) -> int:
    """How many of the newest events of subjects that *wanted* takes, or a few more, are at *start* or later.

    They are before *end*, and *most* at most.
    """
    found: set[int] = set()
    for between in rows.pieces_back(max(start, 0), end):
        for pattern in wanted.patterns:
            values = (*between, *_taken_by(pattern, Span.of(pattern)), most)
            found.update([last for (last,) in rows.read(_BETWEEN, values)])
            if len(found) >= most:
                return most
    return len(found)


def count_subjects(rows: PieceReader, span: Span) -> int:
    """How many subjects lie in *span*; all of them are counted by pages, if that may be at once."""
    if span == EVERYTHING and rows.reads_at_once:
        return sum([number for (number,) in rows.read(_COUNT_ALL, ())])
    return sum([number for piece in rows.pieces(span) for (number,) in rows.read(_COUNT, (piece.start, piece.end))])


def _taken_by(pattern: Pattern, piece: Span) -> tuple[object, ...]:
    """The values for what takes *pattern*'s subjects in *piece*; those of `x.*.y.>` may have more between x and y."""
    longer = "" if pattern.text.endswith(">") else "*.*" + ".*" * pattern.text.count(".")
    return piece.start, piece.end, as_glob(pattern), longer
