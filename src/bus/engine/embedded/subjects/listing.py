"""Listing subjects: what a table knows of those that patterns take, a page at a time, in the order of their bytes.

    app.a   app.b.x   app.b.y   app.c         app.b.*: only what lies between app.b. and what follows it is read
              └───────────┘

Rows are read some at a time, and others have their turn in between.
"""

from __future__ import annotations

from bus.engine.embedded.subjects.rows import SubjectRow
from bus.engine.embedded.subjects.span import Span
from bus.engine.embedded.subjects.table import SubjectTable
from bus.namespace import SubjectDescription, SubjectPage
from bus.subject import Filter
from bus.units import format_time

ROWS = 1000
"""How many are read at a time."""


async def list_subjects(table: SubjectTable, wanted: Filter, *, after: str, limit: int) -> SubjectPage:
    """At most *limit* subjects that *wanted* takes, behind *after*. Raises a `StorageError`."""
    await table.written()
    span, found = Span.of(*wanted.patterns), list[SubjectRow]()
    start = max(span.start, after.encode() + b"\0") if after else span.start
    while rows := await table.by_subject(start, span.end, ROWS):
        found += [row for row in rows if table.is_left(row) and wanted.matches(row.subject)]
        start = rows[-1].subject + b"\0"
        if len(found) >= limit or len(rows) < ROWS:
            break
    shown = found[:limit]
    more = len(found) > limit or (len(found) == limit and len(rows) == ROWS)
    return SubjectPage([_describe(row) for row in shown], shown[-1].subject.decode() if more else "")


def _describe(row: SubjectRow) -> SubjectDescription:
    return SubjectDescription(row.subject.decode(), row.events, row.last, format_time(row.time))
