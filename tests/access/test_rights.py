"""What rights grant: no more than their patterns take, whatever is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.access.claims import Claims
from bus.access.rights import EVERYTHING, Grant, Names, Rights
from bus.patterns import DEAD_SEGMENT, Matcher, contains

LITERALS = ("a", "b", DEAD_SEGMENT)
OTHER = "other"
"""A segment that no pattern here names: it stands for all of those."""


def _subjects() -> Iterator[str]:
    """Every subject that can tell two of these patterns apart: of one segment more than the longest has."""
    for length in range(1, 5):
        for rest in product((*LITERALS, OTHER), repeat=length):
            yield ".".join(("app", *rest))


SUBJECTS = tuple(_subjects())


@st.composite
def patterns(draw: st.DrawFn) -> str:
    ways = draw(st.lists(st.sampled_from((*LITERALS, "*")), max_size=2))
    return ".".join(("app", *ways, draw(st.sampled_from((*LITERALS, "*", ">")))))


@given(patterns(), patterns())
def test_a_pattern_contains_another_exactly_if_it_takes_all_its_subjects(wider: str, narrower: str) -> None:
    ours, theirs = Matcher((wider,)), Matcher((narrower,))
    taken = [subject for subject in SUBJECTS if theirs.takes(subject.encode())]
    assert contains(wider, narrower) == all(ours.takes(subject.encode()) for subject in taken)


@given(st.lists(patterns(), max_size=4), patterns())
def test_what_may_be_subscribed_to_is_granted_subject_by_subject(granted: list[str], asked: str) -> None:
    grant = Grant.of(granted)
    if Rights(subscribe=grant).may_subscribe(asked):
        assert all(grant.takes(subject) for subject in SUBJECTS if Matcher((asked,)).takes(subject.encode()))


@pytest.mark.parametrize(
    ("wider", "narrower", "expected"),
    [
        ("orders.>", "orders.>", True),
        ("orders.>", "orders.*", True),
        ("orders.>", "orders.*.paid", True),
        ("orders.>", "orders.paid", True),
        ("orders.*", "orders.>", False),
        ("orders.*", "orders.a.b", False),
        ("orders.paid", "orders.*", False),
        ("orders.>", "billing.paid", False),
        ("orders.>", f"orders.{DEAD_SEGMENT}.billing", False),
        (f"orders.{DEAD_SEGMENT}.>", f"orders.{DEAD_SEGMENT}.billing", True),
    ],
)
def test_containing(wider: str, narrower: str, expected: bool) -> None:
    assert contains(wider, narrower) is expected


def test_names_with_stars() -> None:
    names = Names(("billing", "billing-*", "*-eu"))
    assert [name for name in ("billing", "billing-2", "shop-eu", "billing2", "eu", "x.eu") if names.takes(name)] == [
        "billing", "billing-2", "shop-eu"
    ]  # fmt: skip


def test_a_consumer_is_managed_by_its_name_or_by_all_that_it_reads() -> None:
    rights = Rights(manage=Grant.of(["orders.>"]), manage_consumers=Names(("billing",)))
    assert rights.may_manage("billing")
    assert rights.may_manage("other", ["orders.*"])
    assert not rights.may_manage("other", ["orders.*", "app.*"])
    assert not rights.may_manage("other")


def test_nothing_is_granted_that_is_not_named() -> None:
    rights = Rights()
    assert not (rights.may_publish("app.a") or rights.may_subscribe("app.a") or rights.may_consume("c"))
    assert not (rights.may_manage("c", ["app.a"]) or rights.may_see("c", ["app.a"]) or rights.may_know("app"))
    assert not (rights.may_reply or rights.may_request or rights.may_measure)
    assert EVERYTHING.may_publish("app.a") and EVERYTHING.may_manage("c") and EVERYTHING.may_measure


# -- claims


def test_an_inbox_belongs_to_who_named_it_first() -> None:
    claims = Claims()
    assert claims.claim("_bus_.a", "billing")
    assert claims.claim("_bus_.a", "billing")
    assert not claims.claim("_bus_.a", "thief")


def test_nobody_makes_others_lose_their_inboxes() -> None:
    claims = Claims(most=2)
    assert claims.claim("_bus_.mine", "billing")
    assert all(claims.claim(f"_bus_.{number}", "thief") for number in range(10))
    assert not claims.claim("_bus_.mine", "thief")
    assert len(claims) == 3
    assert claims.claim("_bus_.0", "billing"), "an owner forgets its own oldest"
