"""The tree of patterns says what each pattern's regular expression would, at the cost of a walk."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from bus.patterns import DEAD_SEGMENT, Matcher, PatternTree
from bus.subject import MAX_PATTERNS, Filter

segments = st.sampled_from(["a", "b", "größe", "x-1_2", DEAD_SEGMENT])
subjects = st.lists(segments, min_size=1, max_size=5).map(lambda names: ".".join(["app", *names]))
patterns = st.builds(
    lambda names, last: ".".join(["app", *names, last]),
    st.lists(segments | st.just("*"), max_size=4),
    segments | st.sampled_from(["*", ">"]),
)
many = st.lists(patterns, min_size=1, max_size=12, unique=True)


def expression(pattern: str) -> re.Pattern[str]:
    """*pattern* as a regular expression: wildcards take any segment but the one of dead letters."""
    living = rf"(?!{DEAD_SEGMENT}(?:\.|$))"
    wild = {"*": living + r"[^.]+", ">": living + r".+"}
    return re.compile(r"\.".join(wild.get(segment) or re.escape(segment) for segment in pattern.split(".")))


@given(many, st.lists(subjects, max_size=20))
def test_a_tree_finds_those_whose_pattern_matches(patterns: list[str], subjects: list[str]) -> None:
    tree: PatternTree[str] = PatternTree()
    for pattern in patterns:
        tree.add(pattern, pattern)
    for subject in subjects:
        matching = {pattern for pattern in patterns if expression(pattern).fullmatch(subject)}
        assert set(tree.match(subject.encode())) == matching
        assert (
            Matcher(patterns).takes(subject.encode())
            == Filter.parse(patterns).matches(subject.encode())
            == bool(matching)
        )


@given(many, st.data(), st.lists(subjects, max_size=20))
def test_what_is_removed_leaves_no_trace(patterns: list[str], data: st.DataObject, subjects: list[str]) -> None:
    kept = data.draw(st.lists(st.sampled_from(patterns), unique=True))
    tree: PatternTree[str] = PatternTree()
    fresh: PatternTree[str] = PatternTree()
    for pattern in patterns:
        tree.add(pattern, pattern)
    for pattern in patterns:
        if pattern not in kept:
            tree.remove(pattern, pattern)
    for pattern in kept:
        fresh.add(pattern, pattern)
    for subject in subjects:
        assert set(tree.match(subject.encode())) == set(fresh.match(subject.encode()))
    assert tree.work == fresh.work


def test_many_patterns_cost_one_walk() -> None:
    tree: PatternTree[int] = PatternTree()
    for stream in range(100):
        for number in range(MAX_PATTERNS):
            tree.add(f"app.*.x{stream}.y{number}.*", stream)
    for number in range(1000):
        tree.match(b"app.q%d.a.b.c" % number)
        assert list(tree.match(b"app.q%d.x7.y3.c" % number)) == [7]
    assert tree.work <= 2 * 1000 * 5


def test_answers_are_remembered_for_all_filters_together() -> None:
    subjects = [b"app.s%d" % number for number in range(100_000)]
    for filter in (Filter.parse(["app.*"]), Filter.parse(["app.*.x", "app.>"])):
        assert all(map(filter.matches, subjects))
    again = Filter.parse(["app.*"])
    assert again.matches(subjects[0]) and again.matches(subjects[0])
    assert again.work == 2
