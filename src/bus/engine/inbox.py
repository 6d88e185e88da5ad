"""Inboxes: replies that live in memory for a minute and never touch a log.

A requester names an inbox of its own, ``_bus_.<unique>``, as the ``response_subject`` of an event. What is
published there reaches a subscriber that is there already, and one that comes within `KEPT` seconds.
Memory is bounded: an inbox holds so many replies, all inboxes together so many bytes.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from bus.engine.base import Gap, Replied, Sink, Subscribe
from bus.engine.gathering import Checked, check_draft
from bus.engine.guard import as_bus_error
from bus.engine.live import Reader
from bus.errors import BusError, InvalidParameterError, OverloadedError
from bus.event import Draft, Receipt, id_maker, index_in, new_consumer_id
from bus.subject import INBOX_NAMESPACE
from bus.units import format_time
from bus.wire import encode_extra, encode_frame, join_frames

KEPT = 60.0
"""Seconds a reply waits for its reader, counted from the last one."""

PIECE = 256 * 1024
"""Bytes of replies that are joined for one write."""

INBOX_REPLIES = 1024
TOTAL_BYTES = 64 * 1024 * 1024


@dataclass(slots=True)
class Inbox:
    """The replies to one requester, and who reads them."""

    frames: list[bytes] = field(default_factory=list)
    readers: list[Reader] = field(default_factory=list)
    expiry: TimerHandle | None = None
    size: int = 0


class Inboxes:
    """All inboxes of a server."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._inboxes: dict[str, Inbox] = {}
        self._expected: dict[str, Replied] = {}
        self._make_id = id_maker()
        self._size = 0

    def publish(self, draft: Draft, *, now: int, error: str = "") -> Receipt:
        """Put a reply into its inbox. *error* marks one that stands for a failure. *now* is in ns.

        Raises what `check_draft` does, and `OverloadedError` when memory for replies is used up.
        """
        event = check_draft(draft, now=now)
        name = draft.subject or ""
        if expecting := self._expected.pop(name, None):
            expecting(event.payload, error)
            return self._receipt(event, 1)
        inbox = self._inboxes.get(name) or self._make(name)
        if self._size > TOTAL_BYTES or len(inbox.frames) >= INBOX_REPLIES:
            raise OverloadedError(f"inbox {name} is full: read what is there first")
        receipt = self._receipt(event, len(inbox.frames) + 1)
        extra = event.extra + encode_extra(error=error)
        frame = encode_frame(receipt.id, event.subject, event.payload, receipt.created_at, receipt.index, extra)
        self._deliver(inbox, frame)
        return receipt

    def _receipt(self, event: Checked, index: int) -> Receipt:
        return Receipt(event.event_id or self._make_id(index), format_time(event.time), index)

    def _make(self, name: str) -> Inbox:
        inbox = self._inboxes[name] = Inbox()
        inbox.expiry = self._loop.call_later(KEPT, self._expire, name)
        return inbox

    def _deliver(self, inbox: Inbox, frame: bytes) -> None:
        inbox.frames.append(frame)
        inbox.size += len(frame)
        self._size += len(frame)
        for reader in list(inbox.readers):
            reader.wake()

    def _expire(self, name: str) -> None:
        """Forget an inbox nobody reads; look again later at one that is read."""
        inbox = self._inboxes[name]
        if inbox.readers:
            inbox.expiry = self._loop.call_later(KEPT, self._expire, name)
        else:
            self._remove(name)

    def _remove(self, name: str) -> None:
        inbox = self._inboxes.pop(name)
        self._size -= inbox.size
        if inbox.expiry:
            inbox.expiry.cancel()

    def subscribe(self, wanted: Subscribe, sink: Sink, closed: Callable[[str], None]) -> InboxSubscription:
        """Read an inbox, made if it isn't there. Raises `InvalidParameterError` for several at once."""
        if len(wanted.filter.patterns) > 1:
            raise InvalidParameterError("a stream reads one inbox: subscribe to each on its own")
        name = wanted.filter.patterns[0].text
        inbox = self._inboxes.get(name) or self._make(name)
        return InboxSubscription(inbox, wanted, sink, loop=self._loop, closed=closed)

    def expect(self, name: str, replied: Replied) -> Callable[[], object]:
        """Hand the first reply to *replied* instead of keeping it; returns what gives up waiting.

        Nobody may have heard of the inbox yet.
        """
        self._expected[name] = replied
        return partial(self._expected.pop, name, None)

    def __len__(self) -> int:
        return len(self._inboxes) + len(self._expected)

    def __repr__(self) -> str:
        return f"<Inboxes {len(self)}, {self._size} bytes>"


class InboxSubscription:
    """A subscriber to one inbox. It gets all replies, for nobody else will read them."""

    def __init__(
        self, inbox: Inbox, wanted: Subscribe, sink: Sink, *, loop: AbstractEventLoop, closed: Callable[[str], None]
    ) -> None:
        self.consumer_id = new_consumer_id()
        self.namespace = INBOX_NAMESPACE
        self.first_index = 1
        self.next_index = (index_in(wanted.resume_after or "") or 0) + 1
        self.gap: Gap | None = None
        self._inbox = inbox
        self._wanted = wanted
        self._sink = sink
        self._loop = loop
        self._closed = closed
        self._left = wanted.limit
        self._until = None if wanted.follow else len(inbox.frames)

    def start(self) -> None:
        self._inbox.readers.append(self)
        self._loop.call_soon(self.wake)

    def resume(self) -> None:
        self.wake()

    def wake(self) -> None:
        """Send the replies not sent yet; what goes wrong here is not the publisher's affair."""
        try:
            while self._sink.writable and (frames := self._next_frames()):
                self._send(frames)
            if self._left == 0:
                self._finish("limit")
            elif self._until is not None and self.next_index > self._until:
                self._finish("tail")
        except Exception as error:
            self._fail(as_bus_error(error, f"reading for {self!r}"))

    def _next_frames(self) -> list[bytes]:
        """The next replies, about as many as a sink takes at once."""
        frames: list[bytes] = []
        size = 0
        for frame in islice(self._inbox.frames, self.next_index - 1, self._until):
            if size > PIECE or len(frames) == self._left:
                break
            frames.append(frame)
            size += len(frame)
        return frames

    def _send(self, frames: list[bytes]) -> None:
        start, self.next_index = self.next_index - 1, self.next_index + len(frames)
        if self._left is not None:
            self._left -= len(frames)
        end, form = self.next_index - 1, self._wanted.format
        self._sink.write(
            join_frames(frames, form), lambda: join_frames(self._inbox.frames[start:end], form)
        )  # fmt: skip

    def _finish(self, reason: str) -> None:
        if self in self._inbox.readers:
            self.close()
            self._sink.end(reason)

    def _fail(self, error: BusError) -> None:
        self.close()
        self._sink.fail(error)

    def close(self) -> None:
        if self in self._inbox.readers:
            self._inbox.readers.remove(self)
        self._closed(self.consumer_id)

    def __repr__(self) -> str:
        return f"<InboxSubscription {self.consumer_id} of {self._wanted.filter} at {self.next_index}>"
