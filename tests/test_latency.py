"""Times are counted in buckets that Prometheus understands, and the last ones tell what it is like now."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.latency import BOUNDS, RECENT, Latency, quantiles


@given(st.lists(st.floats(0, 100), max_size=50))
def test_each_bucket_has_all_that_took_no_longer(seconds: list[float]) -> None:
    latency = Latency()
    for one in seconds:
        latency.observe(one)
    assert len(latency) == len(seconds)
    assert latency.total == pytest.approx(sum(seconds))
    assert dict(latency.buckets()) == {
        **{str(bound): sum(one <= bound for one in seconds) for bound in BOUNDS},
        "+Inf": len(seconds),
    }


def test_what_it_is_like_now_is_told_by_the_last_times() -> None:
    before, now = Latency(), Latency()
    assert quantiles([before, now], 0.5, 0.99) == [None, None]
    for _ in range(2 * RECENT):
        before.observe(9.0)
        now.observe(9.0)
    for milliseconds in range(RECENT):
        now.observe(milliseconds / 1000)
    assert quantiles([now], 0.5) == [RECENT / 2 / 1000]
    assert quantiles([before, now], 0.0, 0.99) == [0.0, 9.0]
