"""A namespace of JetStream: a stream, its tail, and what was read of it.

    tail ─▶ next ─▶ Live                    what comes in
    ChunkReader ─▶ read_stored              what is behind, fetched before it is read

``next`` is where the tail is, which may be behind what publishers were told, here or at other Bus servers. So whoever
asks what is stored waits until the tail has come past what was stored then (`settled`).
"""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, Future
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import ClassVar

from bus.engine.jetstream.chunk_reader import ChunkReader
from bus.engine.jetstream.error_mapping import not_reached
from bus.engine.jetstream.message import BatchOfMessages, FoundEvent, Stored, batch_of, decode_event
from bus.engine.jetstream.naming import Naming
from bus.engine.jetstream.streams import leads_for_certain
from bus.engine.jetstream.tail import Tail
from bus.engine.namespace import READ_BATCHES, READ_BYTES, Namespace, Newest
from bus.errors import NotSupportedError, UnavailableError
from bus.event import index_in, made_by
from bus.nats import JetStream, NatsError, StreamInfo, StreamState
from bus.storage.batch import Batch
from bus.subject import Filter
from bus.units import NEVER

REMEMBERED = 65_536
"""Ids that publishers chose, and events that expire, of which is known where they are."""

SETTLE_SECONDS = 15.0
PAUSE = 0.1
"""For how long what is stored last is waited for, and the seconds between two questions who leads."""


class JetNamespace(Namespace):
    """The namespace *name* in the stream that *info* tells of; its events' ids end in *lot*."""

    reads_later: ClassVar[bool] = True

    __slots__ = (
        "_chosen",
        "_expires",
        "_first",
        "_jetstream",
        "_make_id",
        "_reader",
        "_settling",
        "_tailing",
        "info",
        "stream",
    )

    def __init__(self, name: str, info: StreamInfo, *, lot: str, jetstream: JetStream, naming: Naming,
                 loop: AbstractEventLoop) -> None:  # fmt: skip
        super().__init__(name, next=info.state.last_seq + 1, loop=loop)
        self.info = info
        self._first = _first_of(info.state)
        self._jetstream = jetstream
        self.stream = naming.stream(name)
        self._chosen: OrderedDict[str, list[int]] = OrderedDict()
        self._expires: OrderedDict[int, int] = OrderedDict()
        self._settling: list[tuple[int, Future[None]]] = []
        self._make_id = make_id = made_by(lot)
        self._reader = ChunkReader(
            jetstream, naming, name, make_id=make_id, chosen=self._remember, first=self._look_at_first, loop=loop
        )  # fmt: skip
        self._tailing = Tail(jetstream, naming, name, start=self.next, came=self._take, loop=loop)

    # -- what comes in

    def _take(self, stored: Sequence[Stored]) -> None:
        """*stored* came, and counts from now on; what a replica has skipped before it or among it is a hole."""
        start = 0
        for place in range(1, len(stored) + 1):
            if place == len(stored) or stored[place].index != stored[place - 1].index + 1:
                self._take_row(stored[start:place])
                start = place
        self._settle()

    def _take_row(self, row: Sequence[Stored]) -> None:
        found = batch_of(row, self._make_id)
        self._remember(found)
        if found.batch.first != self.next:
            self._skip_to(found.batch.first)
        self.take_over([found.batch], ())

    def _skip_to(self, index: int) -> None:
        """The tail lacks what is before *index*: those who are live read it, or are told that it is missing."""
        missing, self.next = self.next, index
        self.forget_read()
        self.live.send_back(missing)

    def _settle(self) -> None:
        waiting = self._settling
        self._settling = [one for one in waiting if one[0] > self.next]
        for end, settled in waiting:
            if end <= self.next and not settled.done():
                settled.set_result(None)

    def _remember(self, found: BatchOfMessages) -> None:
        for event_id, index in found.chosen:
            indexes = self._chosen.setdefault(event_id, [])
            if index not in indexes:
                indexes.append(index)
                indexes.sort()
        for index, expires in enumerate(found.batch.expires, found.batch.first):
            if expires != NEVER:
                self._expires[index] = expires
        for remembered in (self._chosen, self._expires):
            while len(remembered) > REMEMBERED:
                remembered.popitem(last=False)

    # -- what is stored

    async def settled(self) -> None:
        """Return when everything that is stored by now is known here. Raises `UnavailableError`."""
        try:
            async with asyncio.timeout(SETTLE_SECONDS):
                await self._known_up_to(await self._look_at_end())
        except TimeoutError:
            raise self._late() from None

    async def _look_at_end(self) -> int:
        """The index that follows the last event, from a leader that is one for certain."""
        while True:
            info = await self.look()
            if leads_for_certain(info):
                return info.state.last_seq + 1
            await asyncio.sleep(PAUSE)

    async def reached(self, end: int) -> None:
        """Return when everything before index *end* is known here. Raises `UnavailableError`."""
        try:
            async with asyncio.timeout(SETTLE_SECONDS):
                await self._known_up_to(end)
        except TimeoutError:
            raise self._late() from None

    async def _known_up_to(self, end: int) -> None:
        if end > self.next:
            settled: Future[None] = self._loop.create_future()
            self._settling.append((end, settled))
            await settled

    def _late(self) -> UnavailableError:
        return UnavailableError(f"namespace {self.name}: what was stored last doesn't come in; try again")

    async def bring_frame(self, index: int) -> bytes | None:
        """The frame of the event at *index*, as `frame`. Raises a `BusError` if it can't be fetched."""
        await self.reached(index + 1)
        while coming := self.bring(max(index, self.first)):
            await coming
        return self.frame(index)

    def decode(self, message: Stored) -> FoundEvent:
        """The event of a message of this stream."""
        return decode_event(message, self._make_id)

    async def look(self) -> StreamInfo:
        """What the stream is like now. Raises `UnavailableError`."""
        try:
            self.info = await self._jetstream.stream(self.stream)
        except NatsError as error:
            raise not_reached(error, f"namespace {self.name}") from error
        self._first = max(self._first, _first_of(self.info.state))
        return self.info

    async def _look_at_first(self) -> int:
        await self.look()
        return self.first

    async def close(self) -> None:
        """Follow and fetch no more."""
        self._reader.close()
        await self._tailing.close()

    @property
    def first(self) -> int:
        return min(self._first, self.next)

    def bring(self, index: int) -> Future[None] | None:
        """As `Namespace.bring`."""
        if index >= self.next or self._tail.read(index, READ_BYTES, READ_BATCHES):
            return None
        return self._reader.bring(index, end=self.next)

    async def bring_id(self, event_id: str) -> None:
        """Have at hand what `find` looks at for *event_id*."""
        made = index_in(event_id)
        for index in [*([] if made is None else [made]), *self.find_id(event_id)]:
            if self.first <= index < self.next:
                while coming := self.bring(index):
                    await coming

    def read_stored(self, index: int) -> Sequence[Batch]:
        return self._reader.read(index)

    def is_expired(self, index: int) -> bool:
        return self._expires.get(index, NEVER) <= self.clock()

    def is_damaged(self, index: int) -> bool:
        """Retention deletes from the beginning alone, so what is missing behind that is damaged."""
        return index >= self._first

    def oldest_damage(self) -> int | None:
        return None

    def find_id(self, event_id: str) -> Sequence[int]:
        return self._chosen.get(event_id, ())

    def find_time(self, time: int) -> int:
        raise NotSupportedError("times are looked up before on this engine")

    def newest(self, wanted: Filter, start: int, end: int, limit: int) -> Newest:
        return Newest((), end)

    def when_newest_known(self, then: Callable[[], None]) -> None:
        self._loop.call_soon(then)


def _first_of(state: StreamState) -> int:
    """The index of the oldest event, or that of the next if there is none."""
    return max(state.first_seq, 1) if state.messages else state.last_seq + 1
