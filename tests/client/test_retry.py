"""What is sent again, and when."""

from __future__ import annotations

import pytest

from bus.client.core.retry import LONGEST_RETRY_DELAY, Backoff, NotConnectedError, Retry
from bus.errors import (
    BusError,
    ConnectionFailedError,
    DuplicateKeyError,
    InvalidSubjectError,
    OverloadedError,
    StoppingError,
    TooManyRequestsError,
    UnavailableError,
)


def test_delays_double_up_to_a_limit_and_are_never_in_step() -> None:
    backoff = Backoff(1.0)
    for limit in (1, 2, 4, 8, LONGEST_RETRY_DELAY, LONGEST_RETRY_DELAY):
        assert limit / 2 <= backoff.next() <= limit
    backoff.reset(0.5)
    assert backoff.next() <= 0.5
    assert len({Backoff(1.0).next() for _ in range(10)}) > 1


@pytest.mark.parametrize(
    "error", [NotConnectedError(""), OverloadedError(""), StoppingError(""), TooManyRequestsError("")]
)
def test_what_changed_nothing_is_repeated_in_any_case(error: BusError) -> None:
    retry = Retry(deadline=10.0, repeatable=False)
    assert retry.delay(error, now=0.0) > 0
    assert not retry.uncertain


def test_a_broken_connection_is_repeated_only_where_that_is_harmless() -> None:
    error = ConnectionFailedError("broke")
    keyed = Retry(deadline=10.0, repeatable=True)
    assert keyed.delay(error, now=0.0) > 0
    assert keyed.uncertain
    with pytest.raises(ConnectionFailedError):
        Retry(deadline=10.0, repeatable=False).delay(error, now=0.0)


@pytest.mark.parametrize("error", [InvalidSubjectError(""), UnavailableError("a proxy"), DuplicateKeyError()])
def test_an_answer_is_final(error: BusError) -> None:
    with pytest.raises(type(error)):
        Retry(deadline=10.0, repeatable=True).delay(error, now=0.0)


def test_nothing_is_repeated_past_the_deadline() -> None:
    with pytest.raises(NotConnectedError):
        Retry(deadline=10.0, repeatable=True).delay(NotConnectedError(""), now=9.99)


def test_who_is_over_a_limit_comes_back_when_told_and_not_in_step() -> None:
    error = TooManyRequestsError("", retry_after=7)
    delays = {Retry(deadline=60.0, repeatable=False).delay(error, now=0.0) for _ in range(10)}
    assert all(7 < delay < 8 for delay in delays)
    assert len(delays) > 1
    with pytest.raises(TooManyRequestsError):
        Retry(deadline=7.0, repeatable=True).delay(error, now=0.0)
