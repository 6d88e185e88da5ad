"""Letting go: no further than anybody needs, unless it is forced, and then nobody is left without a word."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from bus.config import Keep
from bus.engine.base import AckMode, Subscribe
from bus.engine.consumer.anonymous_consumers import AnonymousConsumers
from bus.engine.consumer.delivery import GivenUp
from bus.engine.embedded.log_namespace import LogNamespace
from bus.engine.embedded.retention import Retention
from bus.engine.start import StartKind, StartPoint
from bus.subject import Filter
from tests.engine.support import ManualLoop, RecordingSink, fill, open_namespace

FEW = {"*": Keep(events=10)}


class Needs:
    """Durable consumers that have yet to settle *pending*."""

    def __init__(self, *pending: int) -> None:
        self.pending = pending
        self.lost: list[Mapping[int, str]] = []

    def oldest_needed(self, namespace: str) -> int | None:
        return min(self.pending, default=None)

    def pending_before(self, namespace: str, index: int) -> list[int]:
        return [found for found in self.pending if found < index]

    def lose(self, namespace: LogNamespace, subjects: Mapping[int, str]) -> None:
        self.lost.append(subjects)


@pytest.fixture
def namespace(loop: ManualLoop) -> LogNamespace:
    """Events 1 to 60, a few in each segment."""
    namespace = open_namespace(loop, segment_bytes=2048)
    fill(namespace, 30, subject="app.a")
    fill(namespace, 30, subject="app.b")
    return namespace


def retain(loop: ManualLoop, namespace: LogNamespace, needs: Needs, *, force: bool = False) -> int:
    """Delete what is beyond ten events; returns the first index left."""
    Retention(FEW, force=force, durable=needs, anonymous=(), loop=loop).retain(namespace, now=0)
    loop.turn(3)
    return namespace.first


def test_whole_segments_go_and_what_is_to_be_kept_stays(loop: ManualLoop, namespace: LogNamespace) -> None:
    assert 30 < retain(loop, namespace, Needs()) <= 51


def test_what_a_durable_consumer_needs_stays(loop: ManualLoop, namespace: LogNamespace) -> None:
    needs = Needs(20, 50)
    assert 1 < retain(loop, namespace, needs) <= 20


def test_what_is_forced_is_told_with_the_subjects_of_what_was_pending(
    loop: ManualLoop, namespace: LogNamespace
) -> None:
    needs = Needs(3, 3, 31, 60)
    first = retain(loop, namespace, needs, force=True)
    assert first > 31
    assert needs.lost == [{3: "app.a", 31: "app.b"}]


def test_an_anonymous_consumer_is_told_what_it_lost(loop: ManualLoop, namespace: LogNamespace) -> None:
    refused: list[GivenUp] = []
    consumers = AnonymousConsumers(loop=loop, left=lambda _: None, refused=lambda _, gone: refused.append(gone))
    sink = RecordingSink()
    wanted = Subscribe(
        filter=Filter.parse(["app.>"]), start=StartPoint(StartKind.OLDEST), ack=AckMode.MANUAL, prefetch=2
    )
    consumers.join(namespace, wanted, sink).start()
    loop.turn(3)
    Retention(FEW, force=False, durable=Needs(), anonymous=consumers, loop=loop).retain(namespace, now=0)
    loop.turn(5)
    assert [gone.reason for gone in refused] == ["deleted by retention"] * 2
    assert [kind for kind, _ in sink.told] == ["gap", "dropped", "dropped"]
    assert sink.indexes == [1, 2, namespace.first, namespace.first + 1]


def test_a_namespace_without_limits_keeps_all(loop: ManualLoop, namespace: LogNamespace) -> None:
    other = {"other": Keep(events=1)}
    Retention(other, force=True, durable=Needs(), anonymous=(), loop=loop).retain(namespace, now=0)
    assert namespace.first == 1
