"""What a publish asks for beside its events: the parameters of its query."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from bus.engine.base import Expected
from bus.errors import InvalidParameterError
from bus.server.http import limits
from bus.server.http.query import Query, parse_query
from bus.units import parse_duration, parse_whole

MOST_CONFIRMATIONS: Final = 1000

_REMEMBERED: Final = 256


class Wait(NamedTuple):
    """What a publisher waits for: a reply, or the confirmations of so many *consumers*; for so many *seconds*."""

    reply: bool
    seconds: float
    consumers: int


class PublishOptions(NamedTuple):
    """What the publisher waits for, where it expects the log to end, and how much later it wants the event published.

    None, and an empty ``delay``, is what it doesn't ask for.
    """

    wait: Wait | None = None
    expected: Expected | None = None
    delay: str = ""


NO_OPTIONS: Final = PublishOptions()


@lru_cache(_REMEMBERED)
def read_options(raw_query: bytes) -> PublishOptions:
    """What a query asks for; publishers repeat themselves. Raises `InvalidParameterError`, also for what goes only
    with another.
    """
    query = parse_query(raw_query)
    return PublishOptions(_read_wait(query), _read_expected(query), _value(query, "delay"))


def _value(query: Query, name: str) -> str:
    return query.get(name, ("",))[0]


def _read_wait(query: Query) -> Wait | None:
    wait, count, timeout = (_value(query, name) for name in ("wait", "count", "timeout"))
    if wait not in ("", "reply", "confirm"):
        raise InvalidParameterError(f"wait {wait[:80]!a} is not among reply, confirm")
    if count and wait != "confirm":
        raise InvalidParameterError("count goes with wait=confirm")
    if wait and "delay" in query:
        raise InvalidParameterError("nobody waits for what is published later: give delay or wait")
    if timeout and not wait:
        raise InvalidParameterError("timeout goes with wait=reply or wait=confirm")
    return Wait(wait == "reply", _read_timeout(timeout), _read_count(count)) if wait else None


def _read_timeout(text: str) -> float:
    timeout = parse_duration(text) if text else 5.0
    if not 0 < timeout <= limits.WAIT_SECONDS:
        raise InvalidParameterError(f"timeout {text!a} is out of range: more than 0 and at most 60s")
    return timeout


def _read_count(text: str) -> int:
    return parse_whole(text, what="count", least=1, most=MOST_CONFIRMATIONS) if text else 1


def _read_expected(query: Query) -> Expected | None:
    last, of_subject = (_read_index(query, name) for name in ("expect", "expect_subject"))
    return None if last is None and of_subject is None else Expected(last, of_subject)


def _read_index(query: Query, name: str) -> int | None:
    text = _value(query, name)
    return parse_whole(text, what=name, least=0) if text else None
