"""Independent events that travel in one request, each with its own outcome.

[Outgoing, Outgoing, …] ── request() ──▶ server ── receive() ──▶ settle each, in order
                                           │
                                           └── ended() ──▶ those to be sent again; the rest is settled
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Generic, Protocol, TypeVar

from bus.client.core.outcomes import OutcomeReader, receipt_in
from bus.client.core.request import Requests
from bus.client.core.response import Response, ResponseReader
from bus.client.core.retry import broke, may_repeat
from bus.errors import BusError, ConnectionFailedError, DuplicateKeyError, UnauthorizedError
from bus.event import Receipt

MOST_BATCH_EVENTS = 1000
MOST_BATCH_BYTES = 1 << 19
"""Limits of one request. The answer to that many fits into a socket's buffers, so sending can't lock up."""


class Outgoing(Protocol):
    """An event on its way.

    ``failure`` is what the last attempt failed with, ``uncertain`` is set once one may have stored it.
    """

    line: bytes
    keyed: bool
    deadline: float
    uncertain: bool
    failure: BusError | None

    def settle(self, outcome: Receipt | BusError) -> None:
        """Take the final outcome."""


_Item = TypeVar("_Item", bound=Outgoing)


def fitting(items: Iterable[Outgoing]) -> int:
    """How many of *items*, at least one if there are any, go into one request."""
    size = count = 0
    for count, item in enumerate(islice(items, MOST_BATCH_EVENTS), start=1):
        size += len(item.line)
        if size > MOST_BATCH_BYTES:
            return max(count - 1, 1)
    return count


class PublishBatch(Generic[_Item]):
    """The events of one request and its answer. A lone event goes as JSON, several as NDJSON.

    ``failure`` is what has one of them sent again.
    """

    __slots__ = ("_again", "_items", "_outcomes", "_requests", "_settled", "failure")

    def __init__(self, items: Sequence[_Item], requests: Requests) -> None:
        self._items = items
        self._requests = requests
        self.failure: BusError | None = None
        self._outcomes = OutcomeReader()
        self._settled = 0
        self._again: list[_Item] = []

    def request(self) -> bytes:
        if len(self._items) == 1:
            return self._requests.publish(self._items[0].line)
        return self._requests.publish_lines([item.line for item in self._items])

    def receive(self, reader: ResponseReader) -> None:
        """Settle what the answer tells so far. Raises `ConnectionFailedError` when it is no such answer."""
        if reader.head is None:
            return
        if len(self._items) > 1 and reader.head.status in (200, 202):
            self._take(self._outcomes.feed(reader.take_body()))
        elif reader.complete:
            self._take([_outcome(reader.response())] * len(self._items))

    def ended(self, error: BusError | None, *, now: float) -> list[_Item]:
        """The request is over, by *error* if there was one.

        Returns the events that are to be sent again at the time *now*; every other one is settled.
        """
        if self._settled < len(self._items):
            self._take([error or _cut_short()] * (len(self._items) - self._settled))
        for item in self._again:
            if item.deadline <= now and item.failure is not None:
                item.settle(item.failure)
        return [item for item in self._again if item.deadline > now]

    def _take(self, outcomes: Sequence[Receipt | BusError]) -> None:
        if self._settled + len(outcomes) > len(self._items):
            raise ConnectionFailedError("the answer has more receipts than there were events: is this a Bus server?")
        for outcome in outcomes:
            item = self._items[self._settled]
            if isinstance(outcome, BusError):
                self._refuse(item, outcome)
            else:
                item.settle(outcome)
            self._settled += 1

    def _refuse(self, item: _Item, error: BusError) -> None:
        if may_repeat(error, repeatable=item.keyed) or self._renewed(item, error):
            item.uncertain = item.uncertain or broke(error)
            item.failure = self.failure = error
            self._again.append(item)
        elif item.uncertain and isinstance(error, DuplicateKeyError) and error.receipt:
            # The first one with this key was this one, stored by the attempt that broke.
            item.settle(error.receipt)
        else:
            item.settle(error)

    def _renewed(self, item: _Item, error: BusError) -> bool:
        """Whether *item* goes again with a new token, which it does once."""
        if not isinstance(error, UnauthorizedError) or isinstance(item.failure, UnauthorizedError):
            return False
        return isinstance(self.failure, UnauthorizedError) or self._requests.renew()

    def __repr__(self) -> str:
        return f"<PublishBatch {self._settled} of {len(self._items)} settled>"


def _outcome(response: Response) -> Receipt | BusError:
    try:
        return receipt_in(response)
    except BusError as error:
        return error


def _cut_short() -> BusError:
    return ConnectionFailedError("the answer ended before this event: it may or may not be stored")
