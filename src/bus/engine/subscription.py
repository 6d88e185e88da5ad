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

from collections.abc import Callable, Sequence
from dataclasses import asdict

from bus.engine.base import Sink, Subscribe
from bus.engine.namespace import Namespace
from bus.engine.position import gap_between, locate
from bus.engine.selection import select
from bus.engine.turns import Turns
from bus.errors import StorageError
from bus.event import new_consumer_id
from bus.storage.batch import Batch


class PlainSubscription:
    """Serves one subscriber under ``ack=none``."""

    def __init__(
        self,
        namespace: Namespace,
        wanted: Subscribe,
        sink: Sink,
        *,
        turns: Turns,
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
        self._turns = turns
        self._closed = closed
        self._open = True
        self._reading = False
        self._live = False

    def start(self) -> None:
        self._read_soon()

    def resume(self) -> None:
        self._read_soon()

    def wake(self) -> None:
        self._read_soon()

    def fall_behind(self, index: int) -> None:
        self.next_index = index
        self._live = False
        self._read_soon()

    def _read_soon(self) -> None:
        if self._open and not self._reading and not self._live:
            self._reading = True
            self._turns.add(self._read)

    def _read(self) -> None:
        """Send one chunk, then decide what comes next."""
        self._reading = False
        if not (self._open and self.sink.writable):
            return
        try:
            batches = self._source.read(self.next_index)
            if gap := gap_between(self._source, self.next_index, batches):
                self.sink.tell("gap", asdict(gap))
                self.next_index = gap.next_index
            self._send(batches)
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
        """Send what is wanted of *batches*, up to the limit and the tail."""
        wanted, ndjson = self._form
        parts = []
        for batch in batches:
            if self._until is not None and self.next_index >= self._until:
                break
            found = select(
                batch, wanted, start=self.next_index, ndjson=ndjson, limit=self._left, until=self._until
            )  # fmt: skip
            parts.append(found.data)
            self.next_index = found.next
            if self._left is not None:
                self._left -= found.events
            if found.next < batch.next or self._left == 0:
                break
        if data := b"".join(parts):
            self.sink.write(data)

    def _keep_up(self) -> None:
        if self._left is not None or self._until is not None:
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
