"""What is stored in a stream, fetched in chunks and kept for a while.

    bring(index) ─▶ DIRECT.GET of 256 KiB ─▶ at hand ─▶ read(index)

Any replica answers a DIRECT.GET, also one that is behind, or whose copy of an event is damaged. So what is missing
below the known end is asked for again, and only what none has after `ATTEMPTS` is missing for good.
"""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, Future
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from bus.engine.guard import as_bus_error
from bus.engine.jetstream.error_mapping import not_reached
from bus.engine.jetstream.message import BatchOfMessages, Stored, batch_of
from bus.engine.jetstream.naming import Naming
from bus.errors import BusError, CorruptLogError
from bus.nats import Chunk, JetStream, NatsError, NotDeliveredError, StoredMessage, UnknownOutcomeError
from bus.storage.batch import Batch

CHUNK_BYTES = 256 * 1024
CHUNK_EVENTS = 1024
CHUNKS_KEPT = 64

ATTEMPTS = 40
PAUSE = 0.01
"""How often what is missing is asked for, and the seconds between: a follower may be some ms behind.

NATS chooses who answers at random, so one good copy among three is missed by all in one of ten million times."""

PATIENCE = 15.0
"""Seconds for which a stream without a leader, or a lost connection, is waited for."""


class _AtHand(NamedTuple):
    """What answers a read at an index before *until*: a batch, or that there is none."""

    until: int
    batches: Sequence[Batch]


class ChunkReader:
    """Reads the stream of *namespace*. *chosen* is told of what was read, *first* asks for its oldest index."""

    def __init__(
        self,
        jetstream: JetStream,
        naming: Naming,
        namespace: str,
        *,
        make_id: Callable[[int], str],
        chosen: Callable[[BatchOfMessages], None],
        first: Callable[[], Awaitable[int]],
        loop: AbstractEventLoop,
    ) -> None:
        self._jetstream = jetstream
        self._naming = naming
        self._namespace = namespace
        self._stream = naming.stream(namespace)
        self._make_id = make_id
        self._chosen = chosen
        self._first = first
        self._loop = loop
        self._chunks: OrderedDict[int, _AtHand] = OrderedDict()
        self._coming: dict[int, Future[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: dict[int, BusError] = {}

    def read(self, index: int) -> Sequence[Batch]:
        """The batch that answers a read at *index*, none if it isn't at hand. Raises what kept it from being so."""
        if failure := self._failures.pop(index, None):
            raise failure
        if found := self._find(index):
            return found.batches
        return ()

    def bring(self, index: int, *, end: int) -> Future[None] | None:
        """What to wait for until `read` at *index*, before the known *end*, has an answer; None if it has one."""
        if index in self._failures or self._find(index):
            return None
        coming = self._coming.get(index)
        if coming is None:
            coming = self._coming[index] = self._loop.create_future()
            task = self._loop.create_task(self._fetch(index, end, coming))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return coming

    def close(self) -> None:
        """Fetch no more."""
        for task in self._tasks:
            task.cancel()

    def _find(self, index: int) -> _AtHand | None:
        for since, found in self._chunks.items():
            if since <= index < found.until:
                self._chunks.move_to_end(since, last=False)
                return found
        return None

    async def _fetch(self, index: int, end: int, coming: Future[None]) -> None:
        try:
            self._keep(index, await self._read_on(index, end), end)
        except NatsError as error:
            self._failures[index] = not_reached(error, f"reading namespace {self._namespace}")
        except Exception as error:
            self._failures[index] = as_bus_error(error, f"reading namespace {self._namespace}")
        finally:
            del self._coming[index]
            coming.set_result(None)

    def _keep(self, index: int, messages: Sequence[StoredMessage], end: int) -> None:
        if messages:
            found = batch_of([self._stored(message) for message in messages], self._make_id)
            self._chosen(found)
            self._chunks[index] = _AtHand(found.batch.next, (found.batch,))
        else:
            self._chunks[index] = _AtHand(end, ())
        self._chunks.move_to_end(index, last=False)
        while len(self._chunks) > CHUNKS_KEPT:
            self._chunks.popitem()

    def _stored(self, message: StoredMessage) -> Stored:
        return Stored(self._naming.original(message.subject), message.seq, message.headers, message.payload)

    async def _read_on(self, index: int, end: int) -> Sequence[StoredMessage]:
        """The messages from *index* on that follow each other; from a later one on, or none, if others are gone."""
        best: Sequence[StoredMessage] = ()
        for attempt in range(ATTEMPTS):
            messages = _in_a_row(await self._read_chunk(index), end)
            if messages and (not best or messages[0].seq < best[0].seq):
                best = messages
            if (best and best[0].seq == index) or (attempt and index < await self._first()):
                return best
            await asyncio.sleep(PAUSE if attempt else 0)
        if not best:
            raise CorruptLogError(f"namespace {self._namespace}: no replica has event {index}: look at the nodes' logs")
        return best

    async def _read_chunk(self, index: int) -> Chunk:
        """A chunk, as soon as somebody answers."""
        deadline = self._loop.time() + PATIENCE
        while True:
            try:
                return await self._ask(index)
            except (NotDeliveredError, UnknownOutcomeError):
                if self._loop.time() > deadline:
                    raise
                await asyncio.sleep(20 * PAUSE)

    async def _ask(self, index: int) -> Chunk:
        told: Future[Chunk | NatsError] = self._loop.create_future()
        self._jetstream.read(
            self._stream, lambda answer: _tell(told, answer), seq=index, batch=CHUNK_EVENTS, max_bytes=CHUNK_BYTES
        )
        answer = await told
        if isinstance(answer, NatsError):
            raise answer
        return answer


def _tell(told: Future[Chunk | NatsError], answer: Chunk | NatsError) -> None:
    if not told.done():
        told.set_result(answer)


def _in_a_row(chunk: Chunk, end: int) -> Sequence[StoredMessage]:
    """The messages of *chunk* up to the first hole, and before *end*."""
    messages = chunk.messages
    for place, message in enumerate(messages):
        if message.seq != messages[0].seq + place or message.seq >= end:
            return messages[:place]
    return messages
