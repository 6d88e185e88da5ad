"""When events recur, also where a day has 23 or 25 hours."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.engine.embedded.schedules.recurrence import Recurrence
from bus.errors import InvalidParameterError
from bus.units import SECOND_NS, format_time, parse_time

BERLIN = "Europe/Berlin"


def times(cron: str, zone: str, begin: str, count: int) -> list[str]:
    """The first *count* times after *begin*, in UTC."""
    recurrence, time, found = Recurrence.parse(cron, zone), parse_time(begin), []
    for _ in range(count):
        following = recurrence.next_after(time)
        assert following
        time = following
        found.append(format_time(time)[:16])
    return found


def test_a_day_that_skips_an_hour_has_what_was_due_in_it_right_behind_it() -> None:
    assert times("30 2 * * *", BERLIN, "2026-03-28T12:00:00Z", 2) == ["2026-03-29T01:00", "2026-03-30T00:30"]
    assert times("0 * * * *", BERLIN, "2026-03-28T23:30:00Z", 3) == [
        "2026-03-29T00:00", "2026-03-29T01:00", "2026-03-29T02:00",
    ]  # fmt: skip


def test_an_hour_that_comes_twice_has_what_is_due_daily_once_and_what_is_due_hourly_twice() -> None:
    assert times("30 2 * * *", BERLIN, "2026-10-24T12:00:00Z", 2) == ["2026-10-25T00:30", "2026-10-26T01:30"]
    assert times("30 * * * *", BERLIN, "2026-10-24T23:45:00Z", 3) == [
        "2026-10-25T00:30", "2026-10-25T01:30", "2026-10-25T02:30",
    ]  # fmt: skip


def test_it_is_due_by_the_clocks_of_its_time_zone() -> None:
    assert times("0 9 * * MON", "America/New_York", "2026-01-01T00:00:00Z", 1) == ["2026-01-05T14:00"]
    assert times("0 9 * * MON", "UTC", "2026-01-01T00:00:00Z", 1) == ["2026-01-05T09:00"]


def test_a_fraction_of_a_second_is_no_reason_to_come_twice() -> None:
    recurrence = Recurrence.parse("* * * * * *", "UTC")
    assert recurrence.next_after(10 * SECOND_NS) == recurrence.next_after(10 * SECOND_NS + 999) == 11 * SECOND_NS


@pytest.mark.parametrize("cron", ["", "61 * * * *", "0 9 * *", "a b c d e", "0 0 30 2 *", "* * * * * * *"])
def test_what_is_no_cron_is_refused(cron: str) -> None:
    with pytest.raises(InvalidParameterError, match="write minute, hour, day, month and weekday"):
        Recurrence.parse(cron, "UTC")


@pytest.mark.parametrize("zone", ["", "Mars", "../etc/passwd", "/etc/localtime", "Europe/Berlin\0", "x" * 300])
def test_what_is_no_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(InvalidParameterError, match="isn't known"):
        Recurrence.parse("* * * * *", zone)


@given(
    st.sampled_from(["* * * * *", "*/7 * * * *", "30 2 * * *", "0 0 1 * *", "15 1-4 * * SUN"]),
    st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]),
    st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1)),
)
def test_times_only_go_forward_and_are_those_of_the_expression(cron: str, zone: str, begin: datetime) -> None:
    recurrence, time = (
        Recurrence.parse(cron, zone),
        round(begin.replace(tzinfo=ZoneInfo("UTC")).timestamp()) * SECOND_NS,
    )
    found = [time]
    for _ in range(5):
        following = recurrence.next_after(found[-1])
        assert following
        found.append(following)
    assert all(earlier < later for earlier, later in pairwise(found))
