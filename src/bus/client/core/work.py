"""What a worker does with an event, whatever runs its handler.

handler returns             ack; a value other than None answers a request
handler raises RejectError  reject: dead letter, and the requester gets the reason
handler raises otherwise    a request is rejected, for somebody waits for it now
                            anything else is delivered again after the next delay of the back-off
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Literal, Required, TypedDict

from bus.client.core.query import Duration, Start
from bus.errors import BusError, RejectError
from bus.event import Event
from bus.units import parse_duration

log = logging.getLogger("bus.client")

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
EXTENSIONS = 3
"""How often within the redelivery time a running handler asks for more: two may get lost."""


class WorkOptions(TypedDict, total=False):
    """The options of a `Worker`."""

    consumer: Required[str]
    concurrency: int
    order: Literal["key"] | None
    start: Start
    redelivery: Duration
    redelivery_count: int
    backoff: Sequence[Duration]


@dataclass(frozen=True, slots=True)
class Plan:
    """How a worker deals with time: all in seconds."""

    redelivery: float
    backoff: tuple[float, ...]

    @classmethod
    def make(cls, redelivery: Duration, backoff: Sequence[Duration]) -> Plan:
        return cls(_seconds(redelivery), tuple(map(_seconds, backoff)))

    @property
    def extension(self) -> float:
        """Time between two requests for more."""
        return self.redelivery / EXTENSIONS

    def delay(self, attempts: int) -> float:
        """How long to wait before an event that failed *attempts* times is delivered again."""
        return self.backoff[min(max(attempts, 1), len(self.backoff)) - 1] if self.backoff else 0.0


def rejection(event: Event, error: BaseException) -> str:
    """The reason to reject *event* with, empty if it is to be tried again."""
    if isinstance(error, RejectError):
        return error.message or "rejected"
    if event.response_subject:
        return describe(error)
    log.warning("event %s failed in attempt %d", event.id, event.attempts, exc_info=error)
    return ""


def announce_stop(consumer: str, running: int) -> None:
    """From here on no event is begun."""
    log.info("worker %s is stopping, %d of its handlers are running", consumer, running)


def describe(error: BaseException) -> str:
    """An error as one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def report(event: Event, error: BusError) -> None:
    """What was to be said of *event* did not get through: it will be delivered again."""
    log.warning("event %s could not be settled: %s", event.id, error)


@contextmanager
def stopping_on_signals(stop: Callable[[], object]) -> Iterator[None]:
    """Call *stop* on the first SIGTERM or SIGINT of the block; a second one acts as it did before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop_once(number: int, frame: FrameType | None) -> None:
        restore()
        stop()

    for number in before:
        signal.signal(number, stop_once)
    try:
        yield
    finally:
        restore()


def _seconds(duration: Duration) -> float:
    return parse_duration(duration) if isinstance(duration, str) else float(duration)
