"""A plain subscription: a cursor, a filter and a sink, with nothing to acknowledge.

    start ─▶ reading ◀──────────────┐
               │ caught up          │ the sink filled up: go on from the log when it drains
               ▼                    │
       live (in a group)  ──────────┘
       waiting (limit, or following until a tail)

Reading goes chunk by chunk, one a turn of the loop, so that a long replay leaves room for publishers, and
only while the sink takes more: a subscriber that reads slowly is served from the log and costs no memory.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence
from itertools import islice

from bus.engine.base import Sink, Subscribe
from bus.engine.namespace import Namespace
from bus.engine.position import locate
from bus.engine.selection import matching, select
from bus.errors import StorageError
from bus.event import new_consumer_id
from bus.storage.batch import Batch
from bus.wire import join_frames


class PlainSubscription:
    """Serves one subscriber under ``ack=none``."""

    def __init__(
        self,
        namespace: Namespace,
        wanted: Subscribe,
        sink: Sink,
        *,
        loop: AbstractEventLoop,
        closed: Callable[[str], None],
    ) -> None:
        position = locate(namespace, wanted)
        self.consumer_id = new_consumer_id()
        self.namespace = namespace.name
        self.first_index = namespace.first
        self.next_index = position.index
        self.gap = position.gap
        self.sink = sink
        self._source = namespace
        self._form = wanted.filter, wanted.ndjson
        self._left = wanted.limit
        self._until = None if wanted.follow else namespace.next
        self._loop = loop
        self._closed = closed
        self._open = True
        self._reading = False

    def start(self) -> None:
        self._read_soon()

    def resume(self) -> None:
        self._read_soon()

    def wake(self) -> None:
        self._read_soon()

    def fall_behind(self, index: int) -> None:
        self.next_index = index
        self._live = False

    def _read_soon(self) -> None:
        if self._open and not self._reading and not self._live:
            self._reading = True
            self._loop.call_soon(self._read)

    _live = False

    def _read(self) -> None:
        """Send one chunk, then decide what comes next."""
        self._reading = False
        if not (self._open and self.sink.writable):
            return
        try:
            self._send(self._source.read(self.next_index))
        except StorageError as error:
            self._fail(error)
            return
        if self._left == 0:
            self._finish("limit")
        elif self._until is not None and self.next_index >= self._until:
            self._finish("tail")
        elif self.next_index < self._source.next:
            self._read_soon()
        else:
            self._keep_up()

    def _send(self, batches: Sequence[Batch]) -> None:
        if not batches:
            return
        data = self._metered(batches) if self._is_metered else self._chunk(batches)
        if data:
            self.sink.write(data)

    @property
    def _is_metered(self) -> bool:
        """Whether events are counted one by one."""
        return self._left is not None or self._until is not None

    def _chunk(self, batches: Sequence[Batch]) -> bytes:
        wanted, ndjson = self._form
        parts = [select(batch, wanted, start=self.next_index, ndjson=ndjson) for batch in batches]
        self.next_index = batches[-1].next
        return b"".join(parts)

    def _metered(self, batches: Sequence[Batch]) -> bytes:
        """Events up to the limit and below the tail, whichever is first."""
        wanted, ndjson = self._form
        end = batches[-1].next if self._until is None else min(batches[-1].next, self._until)
        events = matching(batches, wanted, start=self.next_index)
        taken = [(index, frame) for index, frame in islice(events, self._left) if index < end]
        self.next_index = end
        if self._left is not None:
            self._left -= len(taken)
        return join_frames([frame for _, frame in taken], ndjson=ndjson)

    def _keep_up(self) -> None:
        if self._is_metered:
            self._source.live.wait(self)
        else:
            self._live = True
            self._source.live.follow(self._form, self)

    def _finish(self, reason: str) -> None:
        self.close()
        self.sink.end(reason)

    def _fail(self, error: StorageError) -> None:
        self.close()
        self.sink.tell("error", error.message)
        self.sink.end("error")

    def close(self) -> None:
        if self._open:
            self._open = False
            self._source.live.unfollow(self._form, self)
            self._source.live.forget(self)
            self._closed(self.consumer_id)

    def __repr__(self) -> str:
        state = "live" if self._live else f"at {self.next_index}"
        return f"<PlainSubscription {self.consumer_id} of {self._form[0]}, {state}>"
