"""The judgement finds whatever is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.cluster.load import Number, Receipt, Stored, Verdict, judge

RECEIPTS = [Receipt(Number(seq % 2, seq), seq, float(seq)) for seq in range(1, 9)]
STORED = [Stored(receipt.message, receipt.seq) for receipt in RECEIPTS]
RIGHT = Verdict(acknowledged=8, lost=0, moved=0, duplicated=0, holes=0, out_of_order=0, outage=1.0)


def swapped() -> list[Stored]:
    """Two of one publisher in each other's place."""
    first, second = STORED[2], STORED[4]
    places = {first.seq: second.message, second.seq: first.message}
    return [Stored(places.get(each.seq, each.message), each.seq) for each in STORED]


def test_what_is_right() -> None:
    assert judge(RECEIPTS, STORED) == RIGHT
    RIGHT.check()


def test_what_nobody_was_promised_may_be_there() -> None:
    assert judge(RECEIPTS, [*STORED, Stored(Number(0, 99), 9)]) == RIGHT


@pytest.mark.parametrize(
    ("stored", "wrong"),
    [
        (STORED[:-1], {"lost": 1}),
        (STORED[:3] + STORED[4:], {"lost": 1, "holes": 1}),
        ([*STORED, Stored(STORED[-1].message, 9)], {"duplicated": 1}),
        ([*STORED, Stored(STORED[0].message, 9)], {"duplicated": 1, "out_of_order": 1}),
        ([Stored(each.message, each.seq + 1) for each in STORED], {"moved": 8, "holes": 1}),
        (swapped(), {"moved": 2, "out_of_order": 1}),
    ],
    ids=["lost", "hole", "twice", "twice-late", "moved", "swapped"],
)
def test_what_is_wrong(stored: list[Stored], wrong: dict[str, int]) -> None:
    verdict = judge(RECEIPTS, stored)
    assert verdict == replace(RIGHT, **wrong)
    with pytest.raises(AssertionError, match="lost, moved, duplicated"):
        verdict.check()
