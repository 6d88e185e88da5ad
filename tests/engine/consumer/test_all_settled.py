"""One answer for several things: when the last is done, with the first error."""

from __future__ import annotations

from bus.engine.consumer.all_settled import all_settled
from bus.errors import BusError


def test_the_last_one_settles_with_the_first_error() -> None:
    answers: list[BusError | None] = []
    first, second = BusError("first"), BusError("second")
    one = all_settled(4, answers.append)
    for error in (None, first, second):
        one(error)
        assert not answers
    one(None)
    assert answers == [first]


def test_all_well_is_no_error() -> None:
    answers: list[BusError | None] = []
    all_settled(1, answers.append)(None)
    assert answers == [None]
