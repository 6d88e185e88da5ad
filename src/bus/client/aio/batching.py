"""Puts and acknowledgements that travel together.

While a request is on its way the next ones gather; then they go as one. A lone one goes at once, and each
is answered for itself.

    put ─┐                       ┌─▶ receipt
    put ─┼─▶ queue ──▶ request ──┼─▶ error
    put ─┘   (one at a time)     └─▶ receipt

Deadlines are kept by one timer for all, because a timer each would cost more than the put.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import deque
from functools import partial
from typing import Any, Generic, TypeVar

import msgspec

from bus.client.aio.connection import AsyncPool
from bus.client.core import forks
from bus.client.core.outcomes import check
from bus.client.core.publish_batch import PublishBatch, fitting
from bus.client.core.request import MOST_ID_BYTES, MOST_IDS, Acknowledgement, Requests
from bus.client.core.retry import UNKNOWN_OUTCOME, Backoff, Retry
from bus.errors import BusError, NotOwnerError, TimedOutError, UnknownEventError
from bus.event import Receipt


class Put(msgspec.Struct, eq=False):
    """One event on its way."""

    line: bytes
    keyed: bool
    deadline: float
    future: asyncio.Future[Any]
    uncertain: bool = False
    failure: BusError | None = None

    def settle(self, outcome: Receipt | BusError) -> None:
        if self.future.done():
            return
        if isinstance(outcome, BusError):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


class Ack(msgspec.Struct, eq=False):
    """One acknowledgement on its way."""

    consumer_id: str
    event_id: str
    deadline: float
    future: asyncio.Future[Any]
    failure: BusError | None = None

    def settle(self, error: BusError | None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(error)


_Item = TypeVar("_Item", Put, Ack)


class Gatherer(Generic[_Item]):
    """Sends what gathers, a request at a time."""

    def __init__(self, requests: Requests, pool: AsyncPool) -> None:
        self._requests = requests
        self._pool = pool
        self._queue: deque[_Item] = deque()
        self._flying: list[_Item] = []
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def add(self, item: _Item) -> None:
        """Send *item* with the next request; its future tells what became of it."""
        self._queue.append(item)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        if self._timer is None or item.deadline < self._timer.when():
            self._watch(item.deadline)

    async def _run(self) -> None:
        try:
            while self._queue:
                self._flying = self._take()
                if self._flying:
                    await self._send(self._flying)
        except asyncio.CancelledError:
            self._abandon()
            raise
        finally:
            self._flying = []
            self._task = None

    @abstractmethod
    def _take(self) -> list[_Item]:
        """Take from the queue what goes into the next request, leaving out what was cancelled."""

    @abstractmethod
    async def _send(self, items: list[_Item]) -> None:
        """Send one request and settle *items*, or put them back in front of the queue."""

    def _watch(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(deadline, self._expire)

    def _expire(self) -> None:
        """Settle what is over its deadline, and look again at the next one."""
        self._timer = None
        now = asyncio.get_running_loop().time()
        waiting = [item for item in (*self._flying, *self._queue) if not item.future.done()]
        for item in waiting:
            if item.deadline <= now:
                item.settle(item.failure or TimedOutError(f"no answer in time: {UNKNOWN_OUTCOME}"))
        if later := [item.deadline for item in waiting if item.deadline > now]:
            self._watch(min(later))

    def _abandon(self) -> None:
        for item in (*self._flying, *self._queue):
            item.future.cancel()
        self._queue.clear()

    def forked(self) -> None:
        """In a child: what has gathered is the parent's to send, on its loop."""
        forks.keep((self._task, self._timer, self._queue, self._flying))
        self._queue, self._flying = deque(), []
        self._task = self._timer = None

    async def close(self) -> None:
        """Send what has gathered, then stop."""
        if self._task is not None:
            await self._task
        if self._timer is not None:
            self._timer.cancel()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {len(self._flying)} on their way, {len(self._queue)} gathered>"


class PutGatherer(Gatherer[Put]):
    """Sends events."""

    def __init__(self, requests: Requests, pool: AsyncPool) -> None:
        super().__init__(requests, pool)
        self._backoff = Backoff()

    def _take(self) -> list[Put]:
        taken = [self._queue.popleft() for _ in range(fitting(self._queue))]
        return [item for item in taken if not item.future.done()]

    async def _send(self, items: list[Put]) -> None:
        lines = PublishBatch(items, self._requests)
        failure: BusError | None = None
        try:
            deadline = max(item.deadline for item in items)
            await self._pool.exchange(lines.request(), deadline=deadline, heard=lines.receive)
        except BusError as error:
            failure = error
        self._backoff.heed(lines.failure)
        delay = self._backoff.next()
        again = lines.ended(failure, now=asyncio.get_running_loop().time() + delay)
        self._queue.extendleft(reversed(again))
        if again:
            await asyncio.sleep(delay)
        else:
            self._backoff.reset()


class AckGatherer(Gatherer[Ack]):
    """Sends acknowledgements, those of one consumer in one request."""

    def _take(self) -> list[Ack]:
        consumer_id, room = self._queue[0].consumer_id, MOST_ID_BYTES
        taken: list[Ack] = []
        others: list[Ack] = []
        while self._queue and room >= len(self._queue[0].event_id) and len(taken) < MOST_IDS:
            item = self._queue.popleft()
            if item.future.done():
                continue
            if item.consumer_id != consumer_id:
                others.append(item)
                continue
            taken.append(item)
            room -= len(item.event_id) + 1
        self._queue.extendleft(reversed(others))
        return taken

    async def _send(self, items: list[Ack]) -> None:
        error = await self._acknowledge(items)
        # A refusal may be of some of them; acknowledging the others once more changes nothing.
        partial = isinstance(error, UnknownEventError | NotOwnerError) and len(items) > 1
        for item in items:
            item.settle(await self._acknowledge([item]) if partial else error)

    async def _acknowledge(self, items: list[Ack]) -> BusError | None:
        said = Acknowledgement(items[0].consumer_id, [item.event_id for item in items])
        deadline = max(item.deadline for item in items)
        try:
            retry = Retry(deadline=deadline, repeatable=True, renew=self._requests.renew)
            await self._pool.call(partial(self._requests.acknowledge, said), check, retry)
        except BusError as error:
            return error
        return None
