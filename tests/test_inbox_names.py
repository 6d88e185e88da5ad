"""The names of inboxes: the usual ones are known at a glance, and are no others than a full look would take."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from bus.drafts import check_response_subject
from bus.engine.inbox_names import DRAWN_TOGETHER, InboxNames
from bus.subject import is_inbox, is_usual_inbox, parse_subject

names = st.from_regex(re.compile(r"_bus_\.[\w.*>-]{0,12}"), fullmatch=True) | st.text(max_size=12)
long_names = st.integers(100, 300).map(lambda length: "_bus_." + "x" * length)


@given(names | long_names)
def test_a_usual_name_is_one_that_a_full_look_takes(name: str) -> None:
    if is_usual_inbox(name):
        assert parse_subject(name) == ("_bus_", name.encode())
        assert is_inbox(name)


def test_an_inbox_that_bus_makes_is_not_remembered() -> None:
    before = parse_subject.cache_info().currsize
    names = InboxNames()
    for _ in range(10):
        check_response_subject(names.make())
    assert parse_subject.cache_info().currsize == before


def test_no_inbox_is_named_twice() -> None:
    names = InboxNames()
    made = {names.make() for _ in range(3 * DRAWN_TOGETHER)}
    assert len(made) == 3 * DRAWN_TOGETHER
    assert all(map(is_usual_inbox, made))
