"""What a subscriber asks for, as parameters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bus.client.core.get_options import GetOptions
from bus.errors import (
    InvalidParameterError,
)


@pytest.mark.parametrize(
    ("option", "value", "written"),
    [
        ("start", 7, "7"),
        ("start", timedelta(minutes=15), "15m"),
        ("start", datetime(2026, 1, 31, 12, tzinfo=UTC), "2026-01-31T12:00:00+00:00"),
        ("redelivery", 0.25, "250ms"),
        ("redelivery", "1m30s", "1m30s"),
        ("redelivery", ["1s", 5, "30s"], "1s,5s,30s"),
        ("follow", False, "false"),
        ("prefetch", 3, "3"),
    ],
)
def test_options_are_written_as_the_server_reads_them(option: str, value: Any, written: str) -> None:
    assert dict(GetOptions(subjects=("app.*",), **{option: value}).parameters())[option] == written


def test_several_patterns_go_as_one_list() -> None:
    assert dict(GetOptions(subjects=("app.a", "app.b")).parameters()) == {"subject": "app.a,app.b"}


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidParameterError, match="has no time zone"):
        GetOptions(subjects=("app.*",), start=datetime(2026, 1, 31)).parameters()


def test_terms_that_are_not_given_are_not_sent() -> None:
    for query in (GetOptions(subjects=("app.*",)), GetOptions(subjects=("app.*",), ack="manual", consumer="w")):
        assert not {"redelivery", "redelivery_count", "prefetch", "order"} & dict(query.parameters()).keys()
