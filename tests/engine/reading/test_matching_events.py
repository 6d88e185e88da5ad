"""Counting events that a filter takes, and going so many on or back, where a batch has too many subjects for a turn."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Generator

import pytest

from bus.engine.delivery import filtering
from bus.engine.reading.matching_events import MatchingEvents
from bus.subject import Filter
from tests.engine.support import ManualLoop, batch, open_namespace, store

EVENTS = 500
WANTED = [index for index in range(1, 2 * EVENTS + 1) if index % 7 in (3, 5)]


@pytest.fixture(params=[1, 100, filtering.WORK])
def events(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, loop: ManualLoop) -> MatchingEvents:
    """Those of two batches whose index, by sevens, leaves 3 or 5; a turn does so much work."""
    monkeypatch.setattr(filtering, "WORK", request.param)
    namespace = open_namespace(loop)
    for first in (1, EVENTS + 1):
        subjects = [f"app.x{index}.y{index % 7}" for index in range(first, first + EVENTS)]
        store(namespace, batch(first, subjects))
    return MatchingEvents(namespace, Filter.parse(["app.*.y3", "app.*.y5"]))


def done(pieces: Generator[Future[None] | None, None, int]) -> tuple[int, int]:
    """What comes of the work, and after how many pieces."""
    turns = 0
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            return end.value, turns
        turns += 1


@pytest.mark.parametrize(("start", "end"), [(1, 1001), (4, 998), (250, 750), (500, 501), (501, 502), (900, 900)])
def test_they_are_counted_piece_by_piece(events: MatchingEvents, start: int, end: int) -> None:
    found, turns = done(events.count(start, end))
    assert found == len([index for index in WANTED if start <= index < end])
    assert turns > 3 or filtering.WORK > 100 or end - start < 100


@pytest.mark.parametrize("back", [1, 2, 77, len(WANTED), len(WANTED) + 1])
def test_so_many_back_lies_the_oldest_of_them(events: MatchingEvents, back: int) -> None:
    found, _ = done(events.step(events.namespace.next, -back))
    assert found == (WANTED[-back] if back <= len(WANTED) else 1)


@pytest.mark.parametrize("on", [1, 2, 77, len(WANTED), len(WANTED) + 1])
def test_so_many_on_lies_behind_the_last_of_them(events: MatchingEvents, on: int) -> None:
    found, _ = done(events.step(1, on))
    assert found == (WANTED[on - 1] + 1 if on <= len(WANTED) else 2 * EVENTS + 1)
