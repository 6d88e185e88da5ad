"""The new events of a durable consumer at this server, as JetStream hands them out to those who ask.

    room of the members ─▶ pull ─▶ arrived ─┬─ for the first time ─────────────▶ taken by the consumer
                                            └─ came back, or was sent back ─▶ its record ─▶ pending

No more is asked for than the members have room for, and nothing while something is on its way back, so that it comes
before new events.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import AbstractEventLoop, Future, Task
from collections import deque
from collections.abc import Awaitable, Callable

from bus.engine.jetstream.consumers.abandoned_pulls import forget_abandoned
from bus.engine.jetstream.consumers.leases import Leases
from bus.engine.jetstream.message import Stored
from bus.engine.jetstream.namespace import JetNamespace
from bus.engine.jetstream.naming import Naming
from bus.engine.namespace import Newest
from bus.errors import BusError
from bus.nats import Delivery, JetStream, NatsError, Puller, PullOptions, StatusError
from bus.subject import Filter

log = logging.getLogger("bus.engine")

MOST = 256
"""Events that are asked for at once."""

MOST_BYTES = 4 * 1024 * 1024
PULL_SECONDS = 20.0
PAUSE = 0.1
"""How long a pull waits, and the seconds before the next one if one fails."""

NOTHING_LEFT = 404
EXPIRED = 408


class PulledEvents:
    """Events of *namespace* that *wanted* takes, from the consumer of JetStream that *pull_from* names.

    *room* says how many are wanted, and whether by somebody who doesn't wait for more; *came_back* takes what was
    delivered before.
    """

    def __init__(
        self,
        namespace: JetNamespace,
        wanted: Filter,
        jetstream: JetStream,
        naming: Naming,
        leases: Leases,
        *,
        name: str,
        start: int,
        came_back: Callable[[Delivery, Stored], Awaitable[None]],
        loop: AbstractEventLoop,
    ) -> None:
        self.handed = self.skipped = 0
        self.waits = True
        self.room: Callable[[], int] = lambda: 0
        self.is_bounded: Callable[[], bool] = lambda: False
        self.returning = 0
        self._namespace = namespace
        self._wanted = wanted
        self._jetstream = jetstream
        self._naming = naming
        self._leases = leases
        self._name = name
        self._came_back = came_back
        self._loop = loop
        self._cursor = start
        self._puller: Puller | None = None
        self._arrived: deque[Delivery] = deque()
        self._admitting: Task[None] | None = None
        self._fetched: deque[tuple[int, bytes]] = deque()
        self._then: Callable[[], None] | None = None
        self._asked_at = 0
        self._resting = False
        self._abandoned = False

    # -- as a feed

    @property
    def cursor(self) -> int:
        return self._cursor

    @property
    def newest_until(self) -> int:
        return 0

    @property
    def used_up(self) -> bool:
        return not self._fetched

    @property
    def is_at_end(self) -> bool:
        return False

    def bring(self) -> Future[None] | None:
        return None

    def fetch(self) -> bool:
        """Ask for as many as there is room for, unless that is under way."""
        if self.returning or self._resting or self._admitting or (self._puller and self._puller.waiting):
            return False
        if (batch := min(self.room(), MOST)) > 0:
            self._pull(batch)
        return False

    def _pull(self, batch: int) -> None:
        if self._puller is None:
            self._puller = self._jetstream.puller(self._namespace.stream, self._name, self._heard)
        self._asked_at = self._namespace.next
        expires = 0.0 if self.is_bounded() and self._cursor < self._asked_at else PULL_SECONDS
        self._puller.ask(PullOptions(batch=batch, max_bytes=MOST_BYTES, expires=expires))

    def take(self) -> tuple[int, bytes] | None:
        while self._fetched:
            index, frame = self._fetched.popleft()
            self._cursor = max(self._cursor, index + 1)
            if not self._leases.is_lost(index):
                self.handed += 1
                return index, frame
            self._leases.forget(index)
        return None

    def put_back(self, index: int, frame: bytes) -> None:
        self.handed -= 1
        self._fetched.appendleft((index, frame))

    def forget_fetched(self) -> None:
        """What was fetched is leased: it stays."""

    def look_again(self) -> None:
        """Nothing is deleted from within a stream."""

    def newest_from(self, index: int) -> Newest:
        return Newest((), index)

    def await_newest(self, then: Callable[[], None]) -> None:
        self._then = then
        self.fetch()

    def wake(self) -> None:
        """There may be something to be done."""
        then, self._then = self._then, None
        if then:
            then()

    # -- what comes

    def _heard(self, heard: Delivery | NatsError) -> None:
        if isinstance(heard, NatsError):
            self._ended(heard)
        elif self._leases.take(heard, heard.seq, source=str(heard.seq)):
            self._arrived.append(heard)
            if self._admitting is None:
                self._admit_now()

    def _ended(self, error: NatsError) -> None:
        """A pull is over, for nothing came or something went wrong: ask again, after a while if it did."""
        status = error.status if isinstance(error, StatusError) else 0
        if status == NOTHING_LEFT:
            self.caught_up(self._asked_at)
        elif status != EXPIRED:
            self._resting = True
            self._loop.call_later(PAUSE, self._rested)
            return
        self.wake()

    def _rested(self) -> None:
        self._resting = False
        self.wake()

    def caught_up(self, index: int) -> None:
        """There is nothing left before *index*."""
        self._cursor = max(self._cursor, index)

    def _admit_now(self) -> None:
        """Admit what takes no look elsewhere; the rest later, in its order."""
        while self._arrived and self._is_plain(self._arrived[0]):
            self._admit_new(self._arrived.popleft())
        if self._arrived:
            self._admitting = self._loop.create_task(self._admit_later())
        self.wake()

    def _is_plain(self, delivery: Delivery) -> bool:
        return delivery.attempt == 1 and delivery.seq < self._namespace.next

    async def _admit_later(self) -> None:
        try:
            while self._arrived:
                await self._admit(self._arrived[0])
                self._arrived.popleft()
        finally:
            self._admitting = None
            self.wake()

    async def _admit(self, delivery: Delivery) -> None:
        """Admit it however long that takes, unless it is another server's by then."""
        while not self._leases.is_lost(delivery.seq):
            try:
                await self._namespace.reached(delivery.seq + 1)
                if delivery.attempt == 1:
                    self._admit_new(delivery)
                else:
                    await self._came_back(delivery, self._message(delivery))
                return
            except BusError as error:
                log.warning("namespace %s: event %d waits: %s", self._namespace.name, delivery.seq, error)
                await asyncio.sleep(PAUSE)
        self._leases.forget(delivery.seq)

    def _message(self, delivery: Delivery) -> Stored:
        return Stored(self._naming.original(delivery.subject), delivery.seq, delivery.headers, delivery.payload)

    def _admit_new(self, delivery: Delivery) -> None:
        found = self._namespace.decode(self._message(delivery))
        if found.expires <= self._namespace.clock() or not self._wanted.matches(found.subject):
            self._leases.acknowledge(delivery.seq, lambda error: None)
            self.caught_up(delivery.seq + 1)
        else:
            self._fetched.append((delivery.seq, found.frame))

    # -- the end

    def release(self) -> list[int]:
        """Ask no more for now; returns what was fetched and not taken."""
        if self._puller:
            self._abandoned = self._abandoned or self._puller.waiting
            self._puller.close()
            self._puller = None
        fetched = [index for index, _ in self._fetched]
        self._fetched.clear()
        return fetched

    async def others_wait(self) -> bool:
        """Whether other servers have members with room. Raises a `NatsError`."""
        info = await self._jetstream.consumer(self._namespace.stream, self._name)
        return info.num_waiting > (self._puller is not None and self._puller.waiting)

    async def forgotten(self) -> None:
        """Return when JetStream doesn't deliver to pulls that were left waiting."""
        if self._abandoned:
            self._abandoned = False
            await forget_abandoned(self._jetstream, self._namespace.stream, self._name)

    def close(self) -> None:
        """Ask no more."""
        if self._puller:
            self._puller.close()
            self._puller = None
        if self._admitting:
            self._admitting.cancel()

    def __repr__(self) -> str:
        return f"<PulledEvents of {self._name} at {self._cursor}, {len(self._fetched)} fetched>"
