"""What a worker does with an event, whatever runs its handler.

handler returns             ack; a value other than None answers a request
handler raises RejectError  reject: dead letter, and the requester gets the reason
handler raises otherwise    a request is rejected, for somebody waits for it now
                            anything else is delivered again after the next delay of the back-off
event can't be decoded      reject: no worker with this code could handle it

What ends a thread or a program elsewhere (SystemExit, KeyboardInterrupt, a CancelledError of the handler's own)
fails its event like any other error here: a handler that exits must not take the worker along.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Required, TypedDict

from bus.client.core.decode import UndecodableEventError
from bus.client.core.get_options import Duration, GetOptions, Start
from bus.errors import BusError, RejectError
from bus.event import Event

log = logging.getLogger("bus.client")

LONGEST_ERROR_TEXT = 1000
"""Characters of an error that go along with its event."""


REDELIVERY = 30.0
REDELIVERY_COUNT = 5
"""The terms of a new consumer, where a worker gives none: seconds an attempt may take, and attempts in all."""

_TERMS: tuple[Literal["redelivery", "redelivery_count"], ...] = ("redelivery", "redelivery_count")


class WorkOptions(TypedDict, total=False):
    """The options of a `Worker`."""

    consumer: Required[str]
    concurrency: int
    order: Literal["key"] | None
    start: Start
    redelivery: Duration | None
    redelivery_count: int | None
    backoff: Sequence[Duration]
    signals: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkPlan:
    """The options of a `Worker` and the patterns it works on, all times in seconds.

    A redelivery or its count that is None is the consumer's to say.
    """

    subjects: tuple[str, ...]
    consumer: str
    concurrency: int
    order: Literal["key"] | None
    start: Start
    redelivery: float | None
    redelivery_count: int | None
    backoff: tuple[float, ...]
    signals: bool

    @property
    def subscription(self) -> GetOptions:
        """What it subscribes with."""
        return GetOptions(
            subjects=self.subjects,
            start=self.start,
            ack="manual",
            consumer=self.consumer,
            order=self.order,
            prefetch=self.concurrency,
            redelivery=self.lease,
            redelivery_count=REDELIVERY_COUNT if self.redelivery_count is None else self.redelivery_count,
            wishes=frozenset(name for name in _TERMS if getattr(self, name) is None),
        )

    @property
    def lease(self) -> float:
        """How long an attempt may take, unless the consumer says otherwise."""
        return REDELIVERY if self.redelivery is None else self.redelivery

    def delay(self, attempts: int) -> float:
        """How long to wait before an event that failed *attempts* times is delivered again."""
        return self.backoff[min(max(attempts, 1), len(self.backoff)) - 1] if self.backoff else 0.0


def rejection(event: Event, error: BaseException) -> str:
    """The reason to reject *event* with, empty if it is to be tried again."""
    if isinstance(error, RejectError):
        return error.message or "rejected"
    if isinstance(error, UndecodableEventError):
        return error.message
    if event.response_subject:
        return describe_error(error)
    log.warning("event %s failed in attempt %d", event.id, event.attempts, exc_info=error)
    return ""


def report_stale(event: Event) -> None:
    """*event* isn't begun, for it belongs to another connection by now, or its job runs already."""
    log.info("event %s came too long ago to be begun: it will be delivered again", event.id)


def announce_stop(consumer: str, running: int) -> None:
    """From here on no event is begun."""
    log.info("worker %s is stopping, %d of its handlers are running", consumer, running)


def describe_error(error: BaseException) -> str:
    """An error as one line; a handler's may be one that can't even be shown."""
    try:
        text = str(error)
    except Exception:
        text = "its message can't be shown"
    name = type(error).__name__
    return " ".join(f"{name}: {text}".split())[:LONGEST_ERROR_TEXT] if text else name


def report_unsettled(event: Event, error: BusError) -> None:
    """What was to be said of *event* did not get through: it will be delivered again."""
    log.warning("event %s could not be settled: %s", event.id, error)
