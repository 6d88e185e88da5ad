"""Token buckets: nobody gets more than the rate and what may come at once, or less."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import InvalidParameterError
from bus.server.http.rate_limit import RateLimit
from bus.units import Rate, parse_rate

RATES = st.builds(Rate, st.integers(1, 10_000), st.sampled_from([0.5, 1.0, 60.0, 3600.0]))
NOW = 1_000_000.0


@given(RATES, st.lists(st.floats(0, 100), max_size=60))
def test_who_waits_when_told_to_gets_exactly_the_rate(rate: Rate, pauses: list[float]) -> None:
    limit, now = RateLimit(rate), NOW
    for had, pause in enumerate(pauses, start=1):
        now += pause
        now += limit.wait("a", now=now)
        assert not limit.wait("a", now=now)
        limit.charge("a", 1, now=now)
        assert had <= rate.amount + (now - NOW) / rate.cost + 0.1


@given(RATES)
def test_all_of_a_rate_may_come_at_once_and_no_more(rate: Rate) -> None:
    limit = RateLimit(rate)
    limit.charge("a", rate.amount - 1, now=NOW)
    assert not limit.wait("a", now=NOW)
    limit.charge("a", 1, now=NOW)
    assert limit.wait("a", now=NOW) == pytest.approx(rate.cost, rel=1e-3, abs=1e-6)
    assert not limit.wait("a", now=NOW + rate.seconds)


@given(RATES, st.integers(1, 100_000))
def test_what_was_taken_beyond_the_rate_is_waited_for(rate: Rate, beyond: int) -> None:
    limit = RateLimit(rate)
    limit.charge("a", rate.amount + beyond, now=NOW)
    assert limit.wait("a", now=NOW) == pytest.approx((beyond + 1) * rate.cost, rel=1e-3, abs=1e-6)


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.floats(0, 2)), max_size=60))
def test_no_more_are_remembered_than_may_be_and_the_last_ones_are(charges: list[tuple[str, float]]) -> None:
    limit, now, last = RateLimit(Rate(1, 1000.0), most=3), NOW, list[str]()
    for key, pause in charges:
        now += pause
        limit.charge(key, 1, now=now)
        last = [key, *(other for other in last if other != key)][:3]
        assert len(limit) <= 3
        assert all(limit.wait(kept, now=now) for kept in last)


def test_keys_have_nothing_to_do_with_each_other() -> None:
    limit = RateLimit(Rate(1))
    limit.charge("a", 5, now=NOW)
    assert limit.wait("a", now=NOW)
    assert not limit.wait("b", now=NOW)


@pytest.mark.parametrize(
    ("text", "rate", "shown"),
    [
        ("500/s", Rate(500, 1), "500/s"),
        ("5MB/s", Rate(5_000_000, 1), "5000000/s"),
        ("1/m", Rate(1, 60), "1/m"),
        ("100/10m", Rate(100, 600), "100/10m"),
    ],
)
def test_rates_are_read_and_written(text: str, rate: Rate, shown: str) -> None:
    assert (parse_rate(text), str(rate)) == (rate, shown)


@pytest.mark.parametrize(
    "text", ["", "500", "/s", "0/s", "-1/s", "5/0", "5/0s", "5/x", "x/s", "5//s", "5/s/s", "1e3/s"]
)
def test_a_rate_that_can_not_be_read(text: str) -> None:
    with pytest.raises(InvalidParameterError, match=r"write it like 500/s"):
        parse_rate(text)
