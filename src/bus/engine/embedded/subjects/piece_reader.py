"""Reading many rows piece by piece, so that others have their turn in between: those who read, and even one who writes.

    app.a … app.d     app.e … app.p     app.q … app.z       each piece is read at once, under the lock
    └── piece ──┘  ▲  └── piece ──┘  ▲  └── piece ──┘
                   └── others ───────┘

A subject keeps its place whatever becomes of its events, so none is missed that is there from the first piece to the
last. One that comes or goes meanwhile may be met or not, and of one that is published to, the event that is the newest
when its piece is read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from bus.engine.embedded.subjects.span import Span

ROWS_TOGETHER = 2048
"""So many rows are compared with a pattern while others wait for the connection: less than 1 ms."""

_NEXT_PIECE = "SELECT subject FROM subject WHERE subject >= ? AND subject < ? ORDER BY subject LIMIT 1 OFFSET ?"


class PieceReader:
    """Reads from *database*, so many *rows* at a time, for each of which it has *lock*; None if nobody shares it."""

    def __init__(self, database: sqlite3.Connection, lock: AbstractContextManager[object], *, rows: int | None) -> None:
        self._database = database
        self._lock = lock
        self._rows = rows

    @property
    def reads_at_once(self) -> bool:
        """Whether there are no pieces, because nobody waits."""
        return self._rows is None

    def read(self, statement: str, values: Sequence[object]) -> Iterable[Any]:
        """What *statement* finds with *values*, as one piece."""
        with self._lock:
            found = self._database.execute(statement, values)
            return found if self._rows is None else found.fetchall()

    def pieces(self, span: Span) -> Iterator[Span]:
        """The pieces of *span*, in the order of subjects."""
        while end := self._end_of_piece(span):
            yield Span(span.start, end)
            span = Span(end, span.end)
        yield span

    def _end_of_piece(self, span: Span) -> bytes | None:
        """Where the first piece of *span* ends; None if it has only one."""
        if self._rows is None:
            return None
        found = list(self.read(_NEXT_PIECE, (span.start, span.end, self._rows)))
        return bytes(found[0][0]) if found else None

    def pieces_back(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """From an index on, and before another: the pieces between *start* and *end*, the last one first."""
        rows = self._rows or max(end - start, 1)
        for until in range(end, start, -rows):
            yield max(start, until - rows), until

    def __repr__(self) -> str:
        return f"<PieceReader, {self._rows or 'all'} rows at a time>"
