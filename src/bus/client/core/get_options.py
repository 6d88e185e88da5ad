"""The options of `get` as one value, and how they are written as parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from bus.client.core.request import Parameters
from bus.client.core.stream_notices import Dropped, Gap
from bus.errors import InvalidParameterError
from bus.units import format_duration, parse_duration

Start = str | int | datetime | timedelta
"""Where to begin: ``"oldest"``, ``"newest"``, an event id to start after, an index, a ``datetime`` with a time
zone, an age (a ``timedelta`` or text such as ``"15m"``), ``-10`` for the last ten that match, or ``"last"`` for
the newest of each subject."""

Duration = str | float
"""Seconds, or text such as ``"1m30s"``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GetOptions:
    """What a subscriber asks for; what is left at None is the server's to choose.

    The last four are between the subscriber and its client. ``Client.get`` says what each of them means. Those of
    the terms that are ``wishes`` are for a consumer that is new: one that has others keeps them.
    """

    subjects: tuple[str, ...]
    start: Start | None = None
    ack: Literal["none", "manual"] = "none"
    redelivery: Duration | Sequence[Duration] | None = None
    redelivery_count: int | None = None
    prefetch: int | None = None
    consumer: str | None = None
    order: Literal["key"] | None = None
    limit: int | None = None
    follow: bool = True
    timeout: float | None = None
    payload_type: Any = Any
    on_gap: Callable[[Gap], object] | None = None
    on_dropped: Callable[[Dropped], object] | None = None
    wishes: frozenset[Literal["redelivery", "redelivery_count"]] = frozenset()

    @property
    def manual(self) -> bool:
        return self.ack == "manual"

    @property
    def durable(self) -> bool:
        """Whether the server keeps the position, under the consumer's name."""
        return self.consumer is not None

    def without_wishes(self) -> GetOptions:
        """What it asks for where its wishes are not the consumer's terms."""
        return replace(
            self,
            redelivery=None if "redelivery" in self.wishes else self.redelivery,
            redelivery_count=None if "redelivery_count" in self.wishes else self.redelivery_count,
            wishes=frozenset(),
        )

    def parameters(self, *, start: int | None = None, limit: int | None = None, worker: str = "") -> Parameters:
        """What the server is asked, with *start* and *limit* in place of its own if given.

        *worker* names who subscribes: what was on its way to a connection that is lost goes on with the next
        one of the same name, as the same attempt.
        """
        values = {
            "start": written_start(self.start if start is None else start),
            "ack": self.ack if self.manual else None,
            "redelivery": written_durations(self.redelivery),
            "redelivery_count": self.redelivery_count,
            "prefetch": self.prefetch,
            "consumer": self.consumer,
            "worker": worker if self.manual and worker else None,
            "order": self.order,
            "limit": self.limit if limit is None else limit,
            "follow": None if self.follow else "false",
        }
        given = [(name, str(value)) for name, value in values.items() if value is not None]
        return [("subject", ",".join(self.subjects)), *given]

    def __str__(self) -> str:
        return ",".join(self.subjects)


def subjects_in(subject: str | Sequence[str]) -> tuple[str, ...]:
    """One pattern or several, as several."""
    return (subject,) if isinstance(subject, str) else tuple(subject)


def written_start(start: Start | None) -> str | None:
    """*start* the way the server reads it. Raises `InvalidParameterError` for a time without a time zone."""
    if isinstance(start, timedelta):
        return format_duration(start.total_seconds())
    if isinstance(start, datetime):
        if start.tzinfo is None:
            raise InvalidParameterError(f"start {start} has no time zone: give it one, such as datetime.UTC")
        return start.isoformat()
    return None if start is None else str(start)


def written_durations(durations: Duration | Sequence[Duration] | None) -> str | None:
    """One duration or several the way the server reads them."""
    if durations is None:
        return None
    several = [durations] if isinstance(durations, str | int | float) else durations
    return ",".join(written_duration(duration) for duration in several)


def in_seconds(duration: Duration) -> float:
    """*duration* as a number of seconds. Raises `InvalidParameterError`."""
    return parse_duration(duration) if isinstance(duration, str) else float(duration)


def written_duration(duration: Duration) -> str:
    """*duration* the way the server reads it."""
    return duration if isinstance(duration, str) else format_duration(duration)
