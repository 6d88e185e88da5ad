"""Groups: live subscriptions that get the same bytes, found by the subjects they want."""

from __future__ import annotations

from typing import Protocol

from bus.engine.base import Sink
from bus.errors import BusError
from bus.frame import Format
from bus.patterns import PatternTree
from bus.subject import Filter

GroupKey = tuple[Filter, Format]
"""What decides the bytes."""

ANSWERS_REMEMBERED = 65_536
"""Answers that are remembered, counted as subjects and the groups that want them."""


class Follower(Protocol):
    """A subscription that is live: it takes whatever its group gets."""

    sink: Sink

    def fall_behind(self, index: int) -> None:
        """Go on from *index* in the log."""

    def fail(self, error: BusError) -> None:
        """Break off: it can't be served."""


class Group:
    """Followers who get the same bytes."""

    __slots__ = ("followers", "form", "wanted")

    def __init__(self, key: GroupKey) -> None:
        self.wanted, self.form = key
        self.followers: dict[Follower, None] = {}

    def __repr__(self) -> str:
        return f"<Group of {len(self.followers)} for {self.wanted}>"


class Groups:
    """All groups of a namespace, ``by_key``. ``work`` is what finding them has cost, in steps."""

    def __init__(self) -> None:
        self.by_key: dict[GroupKey, Group] = {}
        self.work = 0
        self._tree: PatternTree[Group] = PatternTree()
        self._known: dict[bytes, tuple[Group, ...]] = {}
        self._remembered = 0

    def join(self, key: GroupKey, follower: Follower) -> None:
        group = self.by_key.get(key)
        if group is None:
            group = self.by_key[key] = Group(key)
            for pattern in group.wanted.patterns:
                self._tree.add(pattern.text, group)
            self._forget_answers()
        group.followers[follower] = None

    def leave(self, key: GroupKey, follower: Follower) -> None:
        """Take *follower* out, if it is there; a group without followers goes as well."""
        group = self.by_key.get(key)
        if group is None or follower not in group.followers:
            return
        del group.followers[follower]
        if not group.followers:
            del self.by_key[key]
            for pattern in group.wanted.patterns:
                self._tree.remove(pattern.text, group)
            self._forget_answers()

    def wanting(self, subject: bytes) -> tuple[Group, ...]:
        """The groups that want *subject*; the answer is remembered until groups come or go."""
        known = self._known.get(subject)
        if known is None:
            known = self._known[subject] = tuple(self._tree.match(subject))
            self.work = self._tree.work
            self._remembered += 1 + len(known)
            if self._remembered > ANSWERS_REMEMBERED:
                self._forget_answers()
        return known

    def _forget_answers(self) -> None:
        self._known.clear()
        self._remembered = 0

    def __repr__(self) -> str:
        return f"<Groups {len(self.by_key)}, {self._remembered} answers remembered>"
