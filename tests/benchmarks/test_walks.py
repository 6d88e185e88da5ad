"""How the ways through Bus are counted."""

from __future__ import annotations

from benchmarks.walks import Walk


def test_a_return_is_a_call_into_a_file_that_was_left() -> None:
    walk = Walk([("a.py", "f"), ("a.py", "g"), ("b.py", "h"), ("a.py", "f"), ("b.py", "i"), ("c.py", "j")])
    assert (walk.functions, walk.files, walk.returns) == (5, 3, 2)
