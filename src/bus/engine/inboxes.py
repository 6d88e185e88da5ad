"""Inboxes: replies that live in memory for a minute and never touch a log.

A requester names an inbox of its own, ``_bus_.<unique>``, as the ``response_subject`` of an event. What is
published there reaches a subscriber that is there already, and one that comes within `KEPT_SECONDS`.

    frames   first ───── read ───────────── next        indexes
             sent to every reader │ unread
             the last few are kept for one that comes back

Memory is bounded: an inbox holds so many unread replies, and as many bytes as are a fair part of what is left for
all inboxes together (a dynamic threshold, after Choudhury and Hahne's shared-memory switches: however many inboxes
are full, some room remains for another).
"""

from __future__ import annotations

import time
from asyncio import AbstractEventLoop, TimerHandle
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import msgspec

from bus.engine.base import Gap, Replied, Sink, Subscribe
from bus.engine.checked_draft import CheckedDraft, check_draft
from bus.engine.guard import as_bus_error
from bus.errors import BusError, InvalidEventError, InvalidParameterError, OverloadedError
from bus.event import Draft, Receipt, id_maker, index_in, new_consumer_id
from bus.frame import encode_extra, encode_frame, join_frames
from bus.payload import one_line
from bus.subject import INBOX_NAMESPACE
from bus.units import format_time

KEPT_SECONDS: Final = 60.0
"""Seconds a reply waits for its reader, counted from the last one."""

PIECE: Final = 256 * 1024
"""Bytes of replies that are joined for one write."""

INBOX_REPLIES: Final = 1024
"""Replies of one inbox that may be unread."""

KEPT_REPLIES: Final = 64
KEPT_REPLY_BYTES: Final = 64 * 1024
"""How much of what was read is kept for a reader whose connection broke while it was on its way."""

TOTAL_BYTES: Final = 64 * 1024 * 1024
INBOX_SHARE: Final = 4
"""Bytes of all inboxes together, and which part of what is left of them one inbox may hold: a quarter."""

INBOX_BYTES: Final = 512
"""What an inbox costs beside its replies."""


@dataclass(slots=True)
class Inbox:
    """The replies to one requester, and who reads them."""

    frames: deque[bytes] = field(default_factory=deque)
    first: int = 1
    read: int = 1
    size: int = INBOX_BYTES
    readers: list[InboxSubscription] = field(default_factory=list)
    expiry: TimerHandle | None = None
    due: float = 0.0

    @property
    def next(self) -> int:
        """Index the next reply gets."""
        return self.first + len(self.frames)

    def add(self, frame: bytes) -> None:
        self.frames.append(frame)
        self.size += len(frame)

    def note_read(self) -> None:
        """Drop most of what every reader that is there was sent."""
        self.read = max(self.read, min([reader.next_index for reader in self.readers], default=self.read))
        while self.first < self.read and (self.read - self.first > KEPT_REPLIES or self.size > KEPT_REPLY_BYTES):
            self.size -= len(self.frames.popleft())
            self.first += 1


class Inboxes:
    """All inboxes of a server; ``size`` is what they hold together, in bytes.

    *kept* is told what was published here, with the error that it stands for, unless somebody here waited for it.
    """

    def __init__(self, loop: AbstractEventLoop, *, kept: Callable[[Draft, str], None] | None = None) -> None:
        self._kept = kept
        self.size = 0
        self._loop = loop
        self._inboxes: dict[str, Inbox] = {}
        self._expected: dict[str, Replied] = {}
        self._make_id = id_maker()

    def reply(self, name: str, payload: bytes, *, error: str = "") -> None:
        """Put a reply into the inbox *name*: its *payload*, which is JSON, and the *error* it stands for, if any.

        Raises `OverloadedError` when memory for replies is used up.
        """
        if expecting := self._expected.pop(name, None):
            expecting(one_line(payload), error)
        else:
            self.publish(Draft(subject=name, payload=msgspec.Raw(payload)), now=time.time_ns(), error=error)

    def publish(self, draft: Draft, *, now: int, error: str = "") -> Receipt:
        """Put a reply into its inbox, as an event of all fields. *now* is in ns.

        Raises what `check_draft` does, and `OverloadedError` when memory for replies is used up.
        """
        was_expected = draft.subject in self._expected
        receipt = self.take(draft, now=now, error=error)
        if self._kept and not was_expected:
            self._kept(draft, error)
        return receipt

    def take(self, draft: Draft, *, now: int, error: str = "") -> Receipt:
        """As `publish`, of what may have been published elsewhere.

        Raises what `check_draft` does, and `OverloadedError` when memory for replies is used up.
        """
        event = check_draft(draft, now=now)
        if event.expires is not None:
            raise InvalidEventError(f"an inbox keeps its replies for {KEPT_SECONDS:g}s: publish them without ttl")
        name = draft.subject or ""
        if expecting := self._expected.pop(name, None):
            expecting(event.payload, error)
            return self._receipt(event, 1)
        inbox = self._inboxes.get(name) or self._make(name)
        receipt = self._receipt(event, inbox.next)
        extra = event.extra + encode_extra(error=error)
        frame = encode_frame(receipt.id, event.subject, event.payload, receipt.created_at, receipt.index, extra)
        self._check_room(inbox, name, len(frame))
        self._deliver(inbox, frame)
        return receipt

    def _check_room(self, inbox: Inbox, name: str, more: int) -> None:
        share = (TOTAL_BYTES - self.size) // INBOX_SHARE
        if inbox.next - inbox.read >= INBOX_REPLIES or inbox.size + more > share:
            raise OverloadedError(f"inbox {name} is full: read what is there first")

    def _receipt(self, event: CheckedDraft, index: int) -> Receipt:
        return Receipt(event.event_id or self._make_id(index), format_time(event.time), index)

    def _make(self, name: str) -> Inbox:
        inbox = self._inboxes[name] = Inbox()
        self.size += inbox.size
        self._keep(inbox)
        inbox.expiry = self._loop.call_later(KEPT_SECONDS, self._expire, name)
        return inbox

    def _keep(self, inbox: Inbox) -> None:
        """Keep *inbox* for a while from now on."""
        inbox.due = self._loop.time() + KEPT_SECONDS

    def _deliver(self, inbox: Inbox, frame: bytes) -> None:
        inbox.add(frame)
        self.size += len(frame)
        self._keep(inbox)
        for reader in list(inbox.readers):
            reader.wake()

    def note_read(self, inbox: Inbox) -> None:
        """A reader of *inbox* was sent more."""
        before = inbox.size
        inbox.note_read()
        self.size += inbox.size - before
        self._keep(inbox)

    def _expire(self, name: str) -> None:
        """Forget an inbox nobody reads; look again later at one that is read, or was written to."""
        inbox = self._inboxes[name]
        left = KEPT_SECONDS if inbox.readers else inbox.due - self._loop.time()
        if left > 0:
            inbox.expiry = self._loop.call_later(left, self._expire, name)
        else:
            self._remove(name)

    def _remove(self, name: str) -> None:
        inbox = self._inboxes.pop(name)
        self.size -= inbox.size
        if inbox.expiry:
            inbox.expiry.cancel()

    def subscribe(self, wanted: Subscribe, sink: Sink, closed: Callable[[str], None]) -> InboxSubscription:
        """Read an inbox, made if it isn't there. Raises `InvalidParameterError` for several at once."""
        if len(wanted.filter.patterns) > 1:
            raise InvalidParameterError("a stream reads one inbox: subscribe to each on its own")
        name = wanted.filter.patterns[0].text
        inbox = self._inboxes.get(name) or self._make(name)
        return InboxSubscription(self, inbox, wanted, sink, loop=self._loop, closed=closed)

    def expect(self, name: str, replied: Replied) -> None:
        """Hand the first reply to *replied* instead of keeping it. Nobody may have heard of the inbox yet."""
        self._expected[name] = replied

    def forget(self, name: str) -> None:
        """Keep what comes to inbox *name*, if it was expected."""
        self._expected.pop(name, None)

    def __len__(self) -> int:
        return len(self._inboxes) + len(self._expected)

    def __repr__(self) -> str:
        return f"<Inboxes {len(self)}, {self.size} bytes>"


class InboxSubscription:
    """A subscriber to one inbox. It gets all replies, for nobody else will read them."""

    def __init__(
        self,
        inboxes: Inboxes,
        inbox: Inbox,
        wanted: Subscribe,
        sink: Sink,
        *,
        loop: AbstractEventLoop,
        closed: Callable[[str], None],
    ) -> None:
        self.consumer_id = new_consumer_id()
        self.namespace = INBOX_NAMESPACE
        self.first_index = inbox.first
        asked = min((index_in(wanted.resume_after or "") or 0) + 1, inbox.next)
        self.next_index = max(asked, inbox.first)
        lacks = wanted.resume_after is not None and asked < inbox.first
        self.gap = Gap("expired", asked, inbox.first - 1, inbox.first) if lacks else None
        self.redelivery: tuple[float, ...] = ()
        self._inboxes = inboxes
        self._inbox = inbox
        self._wanted = wanted
        self._sink = sink
        self._loop = loop
        self._closed = closed
        self._left = wanted.limit
        self._until = None if wanted.follow else inbox.next

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
            elif self._until is not None and self.next_index >= self._until:
                self._finish("tail")
        except Exception as error:
            self._fail(as_bus_error(error, f"reading for {self!r}"))

    def _next_frames(self) -> list[bytes]:
        """The next replies, about as many as a sink takes at once."""
        first = self._inbox.first
        self.next_index = max(self.next_index, first)
        frames: list[bytes] = []
        size = 0
        end = None if self._until is None else max(self._until - first, 0)
        for frame in islice(self._inbox.frames, self.next_index - first, end):
            if size > PIECE or len(frames) == self._left:
                break
            frames.append(frame)
            size += len(frame)
        return frames

    def _send(self, frames: list[bytes]) -> None:
        self.next_index += len(frames)
        self._inboxes.note_read(self._inbox)
        if self._left is not None:
            self._left -= len(frames)
        form = self._wanted.format
        self._sink.write(join_frames(frames, form), lambda: join_frames(frames, form))

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
            self._inboxes.note_read(self._inbox)
        self._closed(self.consumer_id)

    def __repr__(self) -> str:
        return f"<InboxSubscription {self.consumer_id} of {self._wanted.filter} at {self.next_index}>"
