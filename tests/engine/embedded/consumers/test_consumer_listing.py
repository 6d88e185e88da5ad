"""Describing many consumers: in pieces, and never with an answer older than its question."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from bus.consumer import ConsumerDescription
from bus.engine.embedded.consumers.consumer_listing import (
    COST_OF_A_TURN,
    COST_OF_ONE,
    MOST_PIECES,
    ConsumerListing,
    ListedConsumer,
)
from bus.engine.reading.round_robin import RoundRobin


@dataclass
class Uncounted:
    """A lag of so many pieces."""

    pieces: int = 0

    @property
    def is_exact(self) -> bool:
        return not self.pieces

    def look(self) -> None:
        self.pieces -= 1


@dataclass
class Someone:
    """A consumer that says what turn it is described in."""

    loop: Counting
    lag: Any = field(default_factory=Uncounted)
    size: int = 0

    def describe(self) -> ConsumerDescription:
        """``next_index`` is the turn, and ``behind`` what is left to count."""
        return replace(NOBODY, next_index=self.loop.turn, behind=self.lag.pieces)


Answers = list[Sequence[ConsumerDescription]]

NOBODY = ConsumerDescription("", "", [], "", 0, None, 0, 0, False, 0, 0, 0, 0, "")


def ask(question: Coroutine[object, object, Sequence[ConsumerDescription]], answers: Answers) -> None:
    """Ask, and add the answer to *answers* when it is there."""
    asyncio.ensure_future(question).add_done_callback(lambda done: answers.append(done.result()))


class Counting:
    """Counts the turns of the loop."""

    def __init__(self) -> None:
        self.turn = 0

    async def until(self, answers: Answers, count: int) -> None:
        while len(answers) < count:
            self.turn += 1
            await asyncio.sleep(0)


def test_a_turn_describes_only_so_many() -> None:
    async def run() -> None:
        loop, answers = Counting(), Answers()
        people: list[ListedConsumer] = [Someone(loop) for _ in range(1000)]
        ask(ConsumerListing(lambda: people, RoundRobin(asyncio.get_running_loop())).ask(), answers)
        await loop.until(answers, 1)
        turns = [about.next_index for about in answers[0]]
        assert len(turns) == 1000
        assert max(turns.count(turn) for turn in set(turns)) <= COST_OF_A_TURN // COST_OF_ONE

    asyncio.run(run())


def test_counting_is_bounded_in_a_round_and_goes_on_in_the_next() -> None:
    async def run() -> None:
        loop, answers = Counting(), Answers()
        people: list[ListedConsumer] = [Someone(loop, Uncounted(MOST_PIECES + 10)), Someone(loop, Uncounted(5))]
        listing = ConsumerListing(lambda: people, RoundRobin(asyncio.get_running_loop()))
        ask(listing.ask(), answers)
        await loop.until(answers, 1)
        assert [about.behind for about in answers[0]] == [10, 5]
        assert loop.turn >= MOST_PIECES
        ask(listing.ask(), answers)
        await loop.until(answers, 2)
        assert [about.behind for about in answers[1]] == [0, 0]

    asyncio.run(run())


def test_who_asks_during_a_round_is_answered_by_the_next() -> None:
    async def run() -> None:
        loop, answers = Counting(), Answers()
        people: list[ListedConsumer] = [Someone(loop) for _ in range(200)]
        listing = ConsumerListing(lambda: people, RoundRobin(asyncio.get_running_loop()))
        for _ in range(3):
            ask(listing.ask(), answers)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        loop.turn = asked = 1000
        for _ in range(3):
            ask(listing.ask(), answers)
        await loop.until(answers, 6)
        assert answers[0] is answers[2], "those who ask together are answered together"
        assert answers[3] is answers[5] is not answers[0]
        assert min(about.next_index for about in answers[3]) >= asked

    asyncio.run(run())
