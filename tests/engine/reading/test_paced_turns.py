"""Pacing: while events are published, a replay rests between its pieces; else it goes on at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bus.engine.reading.paced_turns import PAUSE, QUIET, PacedTurns
from tests.engine.support import ManualLoop, fill, open_namespace


@pytest.fixture
def commits() -> list[float]:
    """When commits were, the last one at the end."""
    return [float("-inf")]


@pytest.fixture
def done(loop: ManualLoop, commits: list[float]) -> list[str]:
    """What two replays without an end have read; they have begun."""
    turns, done = PacedTurns(loop, committed_at=lambda: commits[-1]), list[str]()

    def replay(name: str) -> Callable[[], None]:
        def piece() -> None:
            done.append(name)
            turns.add(piece)

        return piece

    turns.add(replay("a"))
    turns.add(replay("b"))
    return done


def test_while_nobody_publishes_a_piece_is_read_in_each_turn(loop: ManualLoop, done: list[str]) -> None:
    loop.turn(7)
    assert len(done) >= 6
    assert "".join(done) == ("ab" * 4)[: len(done)]


def test_after_a_commit_there_is_a_pause_behind_each_piece(
    loop: ManualLoop, commits: list[float], done: list[str]
) -> None:
    commits.append(loop.now)
    loop.turn(7)
    assert done == ["a"], "the first piece waits for nothing"
    loop.advance(PAUSE)
    loop.turn(7)
    assert done == ["a", "b"]


def test_when_commits_cease_the_pauses_do(loop: ManualLoop, commits: list[float], done: list[str]) -> None:
    commits.append(loop.now)
    loop.turn(3)
    loop.advance(QUIET)
    loop.turn(7)
    assert len(done) >= 7


def test_a_lone_replay_is_paced_too(loop: ManualLoop) -> None:
    turns, done = PacedTurns(loop, committed_at=loop.time), list[int]()

    def piece() -> None:
        done.append(len(done))
        turns.add(piece)

    turns.add(piece)
    loop.turn(7)
    assert done == [0]


def test_a_namespace_tells_when_it_was_committed_to(loop: ManualLoop) -> None:
    namespace = open_namespace(loop)
    assert namespace.committed_at < loop.now - QUIET
    fill(namespace, 1)
    assert namespace.committed_at == loop.now
