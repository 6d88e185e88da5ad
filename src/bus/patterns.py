"""Matching: which of many patterns take a subject, found by a walk instead of by asking each.

After the subject trees of NATS and MQTT brokers. Patterns are spread over a tree by their segments, so a walk
costs what the subject is long, times the branches that wildcards open, however many patterns there are:

    root ── app ──┬── orders ── *  ▸ a          app.orders.*   a
                  └── * ──────── paid ▸ b       app.*.paid     b
                  └── > ▸ c                     app.>          c

A subject goes down all branches at once: at each segment the set of nodes it stands at is replaced by their
children for that segment and their ``*``, while every ``>`` that is passed takes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Generic, TypeVar

DEAD_SEGMENT = "_dead_"
"""Second segment of the subjects of dead letters. Wildcards don't match it, so that nobody who reads
``orders.>`` is handed what another consumer gave up; a pattern that names it reads dead letters."""

_DEAD = DEAD_SEGMENT.encode()
_REMEMBERED = 16_384
"""Answers that are remembered, of all filters together."""

T = TypeVar("T")


class _Node(Generic[T]):
    """A place in the tree: what ends here, what ``>`` takes from here, and where to go on."""

    __slots__ = ("any", "children", "here", "rest")

    def __init__(self) -> None:
        self.children: dict[bytes, _Node[T]] = {}
        self.any: _Node[T] | None = None
        self.here: dict[T, None] = {}
        self.rest: dict[T, None] = {}

    @property
    def empty(self) -> bool:
        return not (self.children or self.any or self.here or self.rest)


class PatternTree(Generic[T]):
    """Patterns, each with those who want what it takes."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()
        self.work = 0
        """Nodes that walks have passed: what matching has cost."""

    def add(self, pattern: str, wants: T) -> None:
        """*wants* is to be found by the subjects that *pattern* takes."""
        node = self._root
        *way, last = pattern.encode().split(b".")
        for segment in way:
            node = _child(node, segment)
        if last == b">":
            node.rest[wants] = None
        else:
            _child(node, last).here[wants] = None

    def remove(self, pattern: str, wants: T) -> None:
        """Forget that *wants* is found by *pattern*, and the branches that were for it alone."""
        _remove(self._root, pattern.encode().split(b"."), wants)

    def match(self, subject: bytes) -> dict[T, None]:
        """Those who want *subject* (UTF-8), each once."""
        found: dict[T, None] = {}
        nodes = [self._root]
        for segment in subject.split(b"."):
            following: list[_Node[T]] = []
            wild = segment != _DEAD
            for node in nodes:
                if child := node.children.get(segment):
                    following.append(child)
                if wild:
                    found |= node.rest
                    if node.any:
                        following.append(node.any)
            self.work += len(nodes)
            nodes = following
        for node in nodes:
            found |= node.here
        return found

    def __repr__(self) -> str:
        return f"<PatternTree, {self.work} steps taken>"


def _child(node: _Node[T], segment: bytes) -> _Node[T]:
    """The node below *node* for a segment of a pattern, made if it isn't there."""
    if segment != b"*":
        return node.children.setdefault(segment, _Node())
    node.any = node.any or _Node()
    return node.any


def _remove(node: _Node[T], segments: list[bytes], wants: T) -> None:
    segment, *rest = segments
    if segment == b">":
        node.rest.pop(wants, None)
        return
    child = _child(node, segment)
    if rest:
        _remove(child, rest, wants)
    else:
        child.here.pop(wants, None)
    if child.empty:
        _prune(node, segment)


def _prune(node: _Node[T], segment: bytes) -> None:
    if segment == b"*":
        node.any = None
    else:
        del node.children[segment]


class Matcher:
    """The patterns of one subscription, compiled: whether any of them takes a subject."""

    __slots__ = ("_exact", "_tree")

    def __init__(self, patterns: Iterable[str]) -> None:
        self._exact: set[bytes] = set()
        self._tree: PatternTree[bool] | None = None
        for pattern in patterns:
            if pattern.endswith((".>", ".*")) or ".*." in pattern:
                self._tree = self._tree or PatternTree()
                self._tree.add(pattern, True)
            else:
                self._exact.add(pattern.encode())

    def takes(self, subject: bytes) -> bool:
        """Whether *subject* (UTF-8) is wanted; a walk's answer is remembered."""
        return subject in self._exact or (self._tree is not None and _matches(self._tree, subject))

    @property
    def work(self) -> int:
        """What its walks have cost, in nodes."""
        return self._tree.work if self._tree else 0


def contains(wider: str, narrower: str) -> bool:
    """Whether the pattern *wider* takes every subject that the pattern *narrower* takes."""
    return _contains(wider.split("."), narrower.split("."))


def _contains(wider: Sequence[str], narrower: Sequence[str]) -> bool:
    for ours, theirs in zip(wider, narrower, strict=False):
        if ours == ">":
            return theirs != DEAD_SEGMENT
        if theirs == ">" or not (ours == theirs or (ours == "*" and theirs != DEAD_SEGMENT)):
            return False
    return len(wider) == len(narrower)


@lru_cache(_REMEMBERED)
def _matches(tree: PatternTree[bool], subject: bytes) -> bool:
    """The memory is shared, so that many subscriptions don't fill it many times over."""
    return bool(tree.match(subject))
