"""Turns: however many want something done, the loop does one piece between two looks at its sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import groupby

import pytest
import uvloop

from bus.engine.reading.round_robin import RoundRobin


async def order_of(pieces: dict[str, int]) -> list[str]:
    """What is done in which order when each name has so many pieces, with a dot for every turn of the loop."""
    loop = asyncio.get_running_loop()
    turns, done = RoundRobin(loop), list[str]()
    left = dict(pieces)

    def piece(name: str) -> Callable[[], None]:
        def work() -> None:
            done.append(name)
            left[name] -= 1
            if left[name]:
                turns.add(work)

        return work

    for name in pieces:
        turns.add(piece(name))
    while any(left.values()):
        await asyncio.sleep(0)
        done.append(".")
    return done


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> asyncio.Runner:
    return asyncio.Runner(loop_factory=request.param)


def test_each_gets_its_turn_and_a_turn_is_one_piece(runner: asyncio.Runner) -> None:
    with runner:
        done = runner.run(order_of({"a": 3, "b": 1, "c": 2}))
    assert "".join(done).replace(".", "") == "abcaca"
    assert all(len(list(group)) == 1 for name, group in groupby(done, str.isalpha) if name)


def test_a_piece_that_fails_costs_nobody_else_a_turn(runner: asyncio.Runner) -> None:
    done = []

    def fail() -> None:
        raise ValueError("on purpose")

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: done.append("failed"))
        turns = RoundRobin(loop)
        finished = asyncio.Event()
        turns.add(fail)
        turns.add(finished.set)
        await finished.wait()

    with runner:
        runner.run(run())
    assert done == ["failed"]
