"""The terms of a consumer: made by the first, kept by the others, and what differs is named."""

from __future__ import annotations

from typing import Any

import pytest

from bus.engine.base import Subscribe
from bus.engine.consumer.terms import Terms
from bus.errors import ConsumerMismatchError
from bus.subject import Filter


def wanted(pattern: str = "app.a", **given: Any) -> Subscribe:
    return Subscribe(filter=Filter.parse([pattern]), consumer="billing", **given)


def test_what_is_left_out_is_the_default_and_what_is_given_is_known_as_given() -> None:
    assert Terms.of(wanted()).given == frozenset()
    terms = Terms.of(wanted(redelivery=(1.0, 60.0), by_key=True))
    assert (terms.written, terms.redelivery_count, terms.by_key) == ("1s,1m", 3, True)
    assert terms.given == {"redelivery"}


@pytest.mark.parametrize("given", [{}, {"redelivery": (7.0,)}, {"redelivery_count": 9}, {"by_key": True}])
def test_who_gives_nothing_or_the_same_changes_nothing(given: dict[str, Any]) -> None:
    terms = Terms.of(wanted(**given))
    assert terms.agreed(wanted()) == terms.agreed(wanted(**given)) == terms


def test_terms_that_nobody_gave_are_set_by_the_first_who_does() -> None:
    terms = Terms.of(wanted()).agreed(wanted(redelivery_count=9))
    assert (terms.redelivery_count, terms.given) == (9, frozenset({"redelivery_count"}))
    with pytest.raises(ConsumerMismatchError, match="redelivery_count=9, not 3"):
        terms.agreed(wanted(redelivery_count=3))


def test_each_term_that_differs_is_named() -> None:
    terms = Terms.of(wanted(redelivery=(1.0,), redelivery_count=2))
    other = wanted("app.b", redelivery=(2.0,), redelivery_count=5, by_key=True)
    with pytest.raises(ConsumerMismatchError) as refused:
        terms.agreed(other)
    for part in (
        "subject=app.a, not app.b",
        "no order, not order=key",
        "redelivery=1s, not 2s",
        "redelivery_count=2, not 5",
    ):
        assert part in refused.value.message
