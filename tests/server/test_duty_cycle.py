"""Pauses: behind a long turn the loop is left to others, whoever of those who share it had the turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
import uvloop

from bus.errors import BusError
from bus.server.api.upload_turns import UploadTurns
from bus.server.http.duty_cycle import LONG, SHARE, DutyCycle, RestingTurns
from tests.engine.support import ManualLoop

TOOK = 5 * LONG
PAUSE = TOOK * SHARE


@pytest.fixture
def loop() -> Iterator[ManualLoop]:
    with ManualLoop() as loop:
        yield loop


@pytest.fixture
def duty(loop: ManualLoop) -> DutyCycle:
    return DutyCycle(loop, clock=loop.time)


@pytest.fixture
def done() -> list[str]:
    return []


def piece(loop: ManualLoop, done: list[str], name: str, took: float) -> Callable[[], None]:
    """Something to do that takes so many seconds."""

    def work() -> None:
        done.append(name)
        loop.now += took

    return work


class Upload:
    """One with lines that take long, once."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work

    def work(self, most: int, *, now: int) -> int:
        self._work()
        return most

    def fail(self, error: BusError) -> None:
        raise error


def test_behind_a_long_piece_there_is_a_pause(loop: ManualLoop, duty: DutyCycle, done: list[str]) -> None:
    turns = RestingTurns(loop, duty)
    for name in "abc":
        turns.add(piece(loop, done, name, TOOK))
    loop.turn(9)
    assert done == ["a"], "the first one waits for nothing"
    loop.advance(PAUSE * 0.9)
    assert done == ["a"]
    loop.advance(PAUSE * 0.1 + 1e-6)
    assert done == ["a", "b"]
    loop.advance(PAUSE + 1e-6)
    assert done == ["a", "b", "c"]


def test_short_pieces_follow_each_other_at_once(loop: ManualLoop, duty: DutyCycle, done: list[str]) -> None:
    turns = RestingTurns(loop, duty)
    for name in "abc":
        turns.add(piece(loop, done, name, LONG / 2))
    loop.turn(3)
    assert done == ["a", "b", "c"]


def test_what_is_added_in_the_pause_waits_for_its_end(loop: ManualLoop, duty: DutyCycle, done: list[str]) -> None:
    turns = RestingTurns(loop, duty)
    turns.add(piece(loop, done, "a", TOOK))
    loop.turn()
    turns.add(piece(loop, done, "b", 0))
    loop.turn(5)
    assert done == ["a"]
    loop.advance(PAUSE + 1e-6)
    assert done == ["a", "b"]


def test_uploads_and_large_requests_share_the_pauses(loop: ManualLoop, duty: DutyCycle, done: list[str]) -> None:
    requests, uploads = RestingTurns(loop, duty), UploadTurns(loop, duty)
    uploads.add(Upload(piece(loop, done, "lines", TOOK)))
    requests.add(piece(loop, done, "request", TOOK))
    uploads.add(Upload(piece(loop, done, "more lines", TOOK)))
    loop.turn(9)
    assert done == ["lines"]
    loop.advance(PAUSE + 1e-6)
    assert len(done) == 2
    loop.advance(PAUSE + 1e-6)
    assert sorted(done) == ["lines", "more lines", "request"]


def test_a_long_piece_that_fails_is_followed_by_a_pause_as_well(
    loop: ManualLoop, duty: DutyCycle, done: list[str]
) -> None:
    def fail() -> None:
        piece(loop, done, "failed", TOOK)()
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        duty.take_turn(fail)
    duty.take_turn(piece(loop, done, "next", 0))
    assert done == ["failed"]
    loop.advance(PAUSE + 1e-6)
    assert done == ["failed", "next"]


def test_behind_the_pause_comes_first_what_was_to_be_done() -> None:
    """On the loop of the server, which calls its timers before anything else."""
    loop, done = uvloop.new_event_loop(), list[str]()
    duty = DutyCycle(loop)

    def end() -> None:
        done.append("turn")
        loop.stop()

    def outlast_the_pause() -> None:
        time.sleep(2 * LONG)
        loop.call_soon(done.append, "commit")

    duty.take_turn(lambda: time.sleep(2 * LONG))
    duty.take_turn(end)
    loop.call_soon(outlast_the_pause)
    loop.run_forever()
    loop.close()
    assert done == ["commit", "turn"]
