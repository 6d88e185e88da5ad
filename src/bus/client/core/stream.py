"""A subscription over as many connections as it takes: bytes in, events out, and where to go on.

              target()                     connected()
    broken ──────────────▶ connecting ──────────────────▶ open ── feed() ──▶ events
      ▲                                                    │  └── done: limit or tail ──▶ finished
      └────────────────────── disconnected() ──────────────┘

Where a new connection goes on:

    durable consumer       the server knows
    ack=none               after the last event received (Last-Event-ID)
    ack=manual             at the oldest event that is not settled yet (start=index), because the consumer
                           and what was in flight ended with the connection; what was settled after that
                           event comes again and is acknowledged here, unseen by the caller
    nothing received yet   where the first connection began, which its `open` event told
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from bus.client.core.delivery import Delivered, Session
from bus.client.core.notice import Done, Dropped, Gap, Open, log_dropped, log_gap
from bus.client.core.query import Query
from bus.client.core.request import Parameters
from bus.client.core.retry import Backoff, UntrustedServerError
from bus.errors import (
    BusError,
    ConnectionFailedError,
    InvalidEventError,
    StorageError,
    TimedOutError,
    UnavailableError,
    UnknownConsumerError,
)
from bus.sse import EventReader, ServerSentEvent

SILENCE = 45.0
"""Seconds without a byte after which a connection counts as broken: three of the server's heartbeats."""

_FRAME = b"id: "
_DATA = b"\nevent: msg\ndata: "

D = TypeVar("D", bound=Delivered)


class StreamState(Generic[D]):
    """What is known of one subscription, whatever its connection is doing.

    ``repeated`` holds the ids of events that came again although they are settled: acknowledge them.
    """

    def __init__(
        self,
        query: Query,
        kind: type[D],
        *,
        payload_type: Any = Any,
        on_gap: Callable[[Gap], object] | None = None,
        on_dropped: Callable[[Dropped], object] | None = None,
    ) -> None:
        self.query = query
        self.finished = False
        self.session: Session | None = None
        self.repeated: list[str] = []
        self.backoff = Backoff()
        self._decode = msgspec.json.Decoder(_typed(kind, payload_type)).decode
        self._on_gap = on_gap or log_gap
        self._on_dropped = on_dropped or log_dropped
        self._rest = b""
        self._ready: deque[D | BusError | Gap | Dropped] = deque()
        self._received = 0
        self._last: tuple[int, str] = 0, ""
        self._began: int | None = None
        self._window: dict[int, bool] = {}  # received index → settled; its first one is not settled
        self._answered: set[int] = set()

    # -- connections

    def target(self) -> tuple[Parameters, str]:
        """What the next connection asks for: parameters and the id to resume after."""
        limit = None if self.query.limit is None else self.query.limit - self._received + len(self._window)
        if self.query.durable:
            return self.query.parameters(limit=limit), ""
        if self._window:
            return self.query.parameters(start=next(iter(self._window)), limit=limit), ""
        if self._last[1]:
            return self.query.parameters(limit=limit), self._last[1]
        return self.query.parameters(start=self._began, limit=limit), ""

    def connected(self, stream: Any, consumer_id: str) -> None:
        """A connection was accepted; *stream* is what its deliveries are acknowledged through."""
        self.session = Session(stream, consumer_id)
        self._rest = b""

    def disconnected(self) -> None:
        """The connection is gone, and with it what was in flight."""
        if self.session is not None:
            self.session.live = False
            self.session = None
        if self.query.manual:
            self._forget_undelivered()
        if self.query.limit is not None and self._received - len(self._window) >= self.query.limit:
            self.finished = True

    def _forget_undelivered(self) -> None:
        """What waits here came by a consumer that is gone: it will come again."""
        kept = [told for told in self._ready if not isinstance(told, Delivered)]
        if self.query.durable:
            self._received -= len(self._ready) - len(kept)
        self._ready = deque(kept)
        self.repeated.clear()
        self._answered |= {index for index, settled in self._window.items() if settled}

    # -- events

    @property
    def waiting(self) -> int:
        """Events received and not taken yet."""
        return len(self._ready)

    def pop(self) -> D | None:
        """The next event, None when more bytes are needed. Raises what the server told instead of an event."""
        while self._ready:
            told = self._ready.popleft()
            if isinstance(told, Delivered):
                return told
            if isinstance(told, BusError):
                raise told
            self._notify(told)
        return None

    def _notify(self, told: Gap | Dropped) -> None:
        if isinstance(told, Gap):
            self._on_gap(told)
        else:
            self._on_dropped(told)

    def settled(self, event: Delivered) -> None:
        """*event* needs no further delivery."""
        if event.index in self._window:
            self._window[event.index] = True
            self._advance()
        if not event.session.live:
            self._answered.add(event.index)

    def _advance(self) -> None:
        while self._window and self._window[first := next(iter(self._window))]:
            del self._window[first]

    def feed(self, data: bytes) -> None:
        """Take in the next bytes of the open connection."""
        *blocks, self._rest = (self._rest + data).split(b"\n\n")
        frames: list[bytes] = []
        for block in blocks:
            at = block.find(_DATA) if block[:4] == _FRAME else -1
            if at > 0:
                frames.append(block[at + len(_DATA) :])
                continue
            self._take(frames)
            frames = []
            if event := _read(block):
                self._hear(event)
        self._take(frames)

    def _take(self, frames: list[bytes]) -> None:
        """Take in stored events, many at once because there may be hundreds of thousands a second."""
        try:
            events = [self._decode(frame) for frame in frames]
        except msgspec.MsgspecError as error:
            if len(frames) == 1:
                self._ready.append(InvalidEventError(f"an event is not of the type asked for: {error}"))
                return
            for frame in frames:
                self._take([frame])
        else:
            self._accept(events)

    def _accept(self, events: list[D]) -> None:
        for event in events:
            event.__dict__["session"] = self.session
        if self.query.manual:
            for event in events:
                self._await(event)
        else:
            self._received += len(events)
            self._ready.extend(events)
        if events and events[-1].index > self._last[0]:
            self._last = events[-1].index, events[-1].id

    def _await(self, event: D) -> None:
        """An event to be settled, unless that has been done before this connection."""
        if event.index in self._answered:
            self._answered.discard(event.index)
            self.repeated.append(event.id)
            return
        self._received += 1
        self._ready.append(event)
        if not self.query.durable:
            self._window.setdefault(event.index, False)

    def _hear(self, event: ServerSentEvent) -> None:
        """An event that isn't stored: what the server says about the stream."""
        match event.kind:
            case "open":
                self._open(event)
            case "msg":
                self._take([event.data])
            case "gap":
                self._skip(msgspec.json.decode(event.data, type=Gap))
            case "dropped":
                self._drop(msgspec.json.decode(event.data, type=Dropped))
            case "error":
                self._ready.append(StorageError(event.data.decode()))
                self.finished = True
            case "done":
                self._finish(msgspec.json.decode(event.data, type=Done).reason)

    def _finish(self, reason: str) -> None:
        """The server ended the stream: for good, or to be taken up again when it is back."""
        if reason == "deleted":
            self._ready.append(UnknownConsumerError("the consumer was deleted: subscribe again to make it anew"))
        self.finished = self.finished or reason in ("limit", "tail", "deleted")

    def _open(self, event: ServerSentEvent) -> None:
        if self._began is None:
            self._began = msgspec.json.decode(event.data, type=Open).next_index
        self.backoff.reset(None if event.retry_ms is None else event.retry_ms / 1000)

    def _skip(self, gap: Gap) -> None:
        self._began, self._last = gap.next_index, (0, "")
        self._ready.append(gap)

    def _drop(self, dropped: Dropped) -> None:
        if dropped.index in self._window:
            self._window[dropped.index] = True
            self._advance()
        self._ready.append(dropped)

    def __repr__(self) -> str:
        state = "finished" if self.finished else "open" if self.session else "broken"
        return f"<StreamState of {self.query}, {state}, {self._received} received>"


def reconnects(error: BusError) -> bool:
    """Whether a stream that ended with *error* is taken up again; other errors would only come again."""
    if isinstance(error, UntrustedServerError):
        return False
    return isinstance(error, ConnectionFailedError | TimedOutError | UnavailableError | StorageError)


def _typed(kind: type[D], payload_type: Any) -> type[D]:
    """*kind* with payloads decoded as *payload_type*."""
    if payload_type is Any:
        return kind
    fields: list[tuple[str, Any] | tuple[str, Any, Any]]
    fields = [("id", str), ("subject", str), ("payload", payload_type, msgspec.Raw(b"null"))]
    return msgspec.defstruct(kind.__name__, fields, bases=(kind,), dict=True)  # type: ignore[return-value]


def _read(block: bytes) -> ServerSentEvent | None:
    found = EventReader().feed(block + b"\n\n")
    return found[0] if found else None
