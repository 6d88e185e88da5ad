"""Walking the newest events of the subjects that patterns take, some rows in a turn."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from bus.engine.embedded.subjects import store as module
from bus.engine.embedded.subjects.changes import Changes
from bus.engine.embedded.subjects.rows import Covered
from bus.engine.embedded.subjects.store import SubjectStore
from bus.subject import Filter
from tests.engine.support import batch

names = st.from_regex(r"app\.[ab](\.[ab]){0,2}", fullmatch=True)
patterns = st.sampled_from(["app.>", "app.*", "app.a.*", "app.*.b", "app.b.>", "app.*.a,app.a", "app.*.*.b"])


@given(st.lists(names, max_size=30), patterns, st.integers(1, 5), st.integers(1, 5), st.integers(1, 32))
def test_each_is_met_once_in_order_however_many_a_turn_looks_at(
    subjects: list[str], pattern: str, rows_a_turn: int, limit: int, end: int
) -> None:
    wanted = Filter.parse(pattern.split(","))
    newest = {subject: index for index, subject in enumerate(subjects, 1)}
    store = SubjectStore(None, sync=False)
    store.open()
    changes = Changes()
    changes.count([batch(index, [subject]) for index, subject in enumerate(subjects, 1)])
    store.apply(changes, (), Covered(len(subjects) + 1, b"", 1), lambda _: {})
    met, start, turns = list[tuple[int, str]](), 1, 0
    with patch.object(module, "TURN_ROWS", rows_a_turn):
        while start < end:
            rows, following = store.newest(wanted, start, end, limit)
            assert following > start and len(rows) <= min(limit, rows_a_turn)
            met += [(row.last, row.subject.decode()) for row in rows if wanted.matches(row.subject)]
            start, turns = following, turns + 1
    store.close()
    taken = [(index, subject) for subject, index in newest.items() if index < end and wanted.matches(subject.encode())]
    assert met == sorted(taken)
    assert turns <= len(newest) + 1
