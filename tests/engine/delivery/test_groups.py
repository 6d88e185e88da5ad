"""Groups: those who want the same bytes are one, and who wants a subject is found once."""

from __future__ import annotations

import pytest

from bus.engine.base import Sink
from bus.engine.delivery import groups as module
from bus.engine.delivery.groups import GroupKey, Groups
from bus.errors import BusError
from bus.frame import Format
from bus.subject import Filter
from tests.engine.support import RecordingSink


class Listener:
    """A follower that nothing is asked of."""

    def __init__(self) -> None:
        self.sink: Sink = RecordingSink()

    def fall_behind(self, index: int) -> None: ...

    def fail(self, error: BusError) -> None: ...


def key(pattern: str, form: Format = Format.SSE) -> GroupKey:
    return Filter.parse([pattern]), form


def test_equal_patterns_and_format_are_one_group_others_are_not() -> None:
    groups = Groups()
    for wanted in (key("app.a"), key("app.a"), key("app.a", Format.NDJSON), key("app.*")):
        groups.join(wanted, Listener())
    assert len(groups.by_key) == 3
    assert sorted(len(group.followers) for group in groups.wanting(b"app.a")) == [1, 1, 2]
    assert [len(group.followers) for group in groups.wanting(b"app.b")] == [1]
    assert not groups.wanting(b"other.a")


def test_a_group_goes_with_its_last_follower_and_an_answer_with_its_group() -> None:
    groups, first, second = Groups(), Listener(), Listener()
    groups.join(key("app.a"), first)
    groups.join(key("app.a"), second)
    groups.leave(key("app.a"), first)
    groups.leave(key("app.a"), first)
    assert [list(group.followers) for group in groups.wanting(b"app.a")] == [[second]]
    groups.leave(key("app.a"), second)
    assert not groups.by_key and not groups.wanting(b"app.a")
    groups.join(key("app.>"), first)
    assert len(groups.wanting(b"app.a")) == 1


def test_a_subject_is_looked_for_once_until_groups_come_or_go() -> None:
    groups = Groups()
    groups.join(key("app.a"), Listener())
    groups.wanting(b"app.a")
    before = groups.work
    groups.wanting(b"app.a")
    groups.join(key("app.a"), Listener())
    groups.wanting(b"app.a")
    assert groups.work == before, "who joins a group that is there changes no answer"
    groups.join(key("app.b"), Listener())
    groups.wanting(b"app.a")
    assert groups.work > before


def test_answers_that_are_remembered_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWERS_REMEMBERED", 10)
    groups = Groups()
    groups.join(key("app.>"), Listener())
    for number in range(100):
        assert len(groups.wanting(b"app.%d" % number)) == 1
    assert len(groups._known) <= 6
