"""Publishing many independent events, request by request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from time import monotonic, sleep

from bus.client.blocking.connection import Pool
from bus.client.core.draft import EventFields, encode_draft_line
from bus.client.core.publish_batch import PublishBatch, fitting
from bus.client.core.request import Requests
from bus.client.core.retry import Backoff, NotConnectedError
from bus.errors import BusError
from bus.event import Draft, Receipt


@dataclass(slots=True, eq=False)
class _Line:
    line: bytes
    keyed: bool
    deadline: float = 0.0
    uncertain: bool = False
    failure: BusError | None = None
    outcome: Receipt | BusError = field(default_factory=lambda: NotConnectedError("not sent: the server was lost"))

    def settle(self, outcome: Receipt | BusError) -> None:
        self.outcome = outcome


def publish_each(
    events: Iterable[EventFields | Draft], pool: Pool, requests: Requests, *, timeout: float
) -> list[Receipt | BusError]:
    """Publish *events* and return what became of each; *timeout* is in seconds for each request.

    Raises `InvalidEventError` before anything is sent when one can't be written as JSON, `NotConnectedError`
    when the server can't be reached at all. One that is lost later is named in the outcomes.
    """
    items = [_Line(*encode_draft_line(event)) for event in events]
    sent = 0
    while sent < len(items):
        chunk = items[sent : sent + fitting(islice(items, sent, None))]
        _put_chunk(chunk, pool, requests, deadline=monotonic() + timeout)
        if isinstance(chunk[0].outcome, NotConnectedError):
            if not sent:
                raise chunk[0].outcome
            break
        sent += len(chunk)
    return [item.outcome for item in items]


def _put_chunk(items: list[_Line], pool: Pool, requests: Requests, *, deadline: float) -> None:
    """Send *items*, those that may be again, until each has its outcome."""
    backoff = Backoff()
    for item in items:
        item.deadline = deadline
    while items:
        lines = PublishBatch(items, requests)
        failure = _send(lines, pool, deadline=deadline)
        backoff.heed(lines.failure)
        delay = backoff.next()
        items = lines.ended(failure, now=monotonic() + delay)
        if items:
            sleep(delay)


def _send(lines: PublishBatch[_Line], pool: Pool, *, deadline: float) -> BusError | None:
    """Send one request; returns what it failed with."""
    try:
        pool.exchange(lines.request(), deadline=deadline, heard=lines.receive)
    except BusError as error:
        return error
    return None
