"""A subscription over as many connections as it takes: bytes in, events out.

              target()                     connected()
    broken ──────────────▶ connecting ──────────────────▶ open ── feed() ──▶ events
      ▲                                                    │  └── done: limit or tail ──▶ finished
      └────────────────────── disconnected() ──────────────┘

``position`` knows where the next connection goes on; ``late`` what is still to be said of events of the last one;
``jobs`` which events a worker has begun; ``spans`` is told how each fares that is handed out, if somebody traces.
"""

from __future__ import annotations

import logging
import secrets
from collections import deque
from typing import Any, Final, Generic

from bus.client.core.decode import UndecodableEventError
from bus.client.core.delivery import D, Delivered, StreamConnection, settles
from bus.client.core.get_options import GetOptions
from bus.client.core.handle_spans import HandleSpans
from bus.client.core.jobs import Jobs
from bus.client.core.late_acks import LateAcks
from bus.client.core.request import Acknowledgement, Parameters, Requests
from bus.client.core.response import Response
from bus.client.core.resume_position import ResumePosition
from bus.client.core.retry import NOT_NOW, Backoff, NotBusError, reconnects
from bus.client.core.source_state import SILENCE, longest_silence
from bus.client.core.stream_notices import Dropped, Gap, Notice, StreamEnd, StreamOpen, log_dropped, log_gap
from bus.client.core.stream_reader import StreamReader
from bus.errors import (
    BusError,
    ConnectionFailedError,
    ConsumerMismatchError,
    NotFoundError,
    NotOwnerError,
    UnauthorizedError,
    UnknownConsumerError,
)
from bus.wire import CONSUMER_ID, SSE

log = logging.getLogger("bus.client")

MOST_HELD: Final = 1 << 20
"""Bytes received and not taken yet at which the connection stops reading."""


class StreamState(Generic[D]):
    """What is known of one subscription, whatever its connection is doing: a `SourceState`.

    ``stream`` is the shell's, through which deliveries are acknowledged.
    """

    def __init__(self, options: GetOptions, kind: type[D]) -> None:
        self.options = options
        self.finished = False
        self.silence = SILENCE
        self.stream: Any = None
        self.connection: StreamConnection | None = None
        self.late = LateAcks()
        self.jobs: Jobs[D] | None = None
        self.spans: HandleSpans | None = None
        self.backoff = Backoff()
        self.position = ResumePosition(options)
        self._reader = StreamReader(kind, options.payload_type)
        self._ready: deque[D | BusError | Gap | Dropped] = deque()
        self._worker = _new_worker()
        self._held = 0
        self._lost = False
        self._redelivery: tuple[float, ...] = ()

    # -- connections

    def target(self) -> tuple[Parameters, str]:
        """What the next connection asks for: parameters and the id to resume after. It has yet to be recognised."""
        self._reader.expect(trusted=False)
        return self.position.target(worker=self._worker)

    def request(self, requests: Requests) -> bytes:
        """What the next connection asks for."""
        parameters, last_event_id = self.target()
        return requests.subscribe(parameters, last_event_id=last_event_id)

    def connected(self, head: Response) -> None:
        """A connection was answered by *head*. Raises `NotBusError` if that isn't the head of a stream."""
        consumer_id = head.header(CONSUMER_ID)
        content_type = head.header("content-type").partition(";")[0].strip().lower()
        if content_type != SSE and (content_type or not consumer_id):
            raise NotBusError(f"answered {content_type or 'with no type'} in place of a stream: is this a Bus server?")
        self.silence = SILENCE
        self._reader.expect(trusted=bool(consumer_id))
        self.connection = StreamConnection(self.stream, consumer_id)
        if self.jobs is not None:
            self.jobs.connect()
        if self.stands:
            self._report_standing()

    @property
    def stands(self) -> bool:
        """Whether the last connection was found to be a stream of Bus."""
        return self._reader.trusted

    def disconnected(self) -> None:
        """The connection is gone, and with it what was in flight."""
        if self.connection is not None:
            self.connection.live = False
            self.connection = None
        if self.options.manual:
            self._forget_undelivered()
        self.finished = self.finished or self.position.complete

    def _forget_undelivered(self) -> None:
        """What waits here came by a consumer that is gone: it will come again."""
        kept = [told for told in self._ready if not isinstance(told, Delivered | UndecodableEventError)]
        if self.options.durable:
            self.position.receive(len(kept) - len(self._ready))
        self._ready = deque(kept)
        self.late.disconnect()

    def forked(self) -> None:
        """This is a child's copy: it goes on as somebody else."""
        if self.spans is not None:
            self.spans.forked()
        self.disconnected()
        self._worker = _new_worker()

    # -- what is told of connections

    def goes_on(self, error: BusError) -> bool:
        """Whether to go on after a connection broke by *error*; told once, however many attempts fail after that."""
        if not (reconnects(error) or self.yields(error)):
            return False
        self.backoff.heed(error)
        level = logging.DEBUG if self._lost else logging.WARNING
        self._lost = True
        log.log(level, "the stream of %s broke and will go on %s: %s", self.options, self.position, error)
        return True

    def yields(self, error: BusError) -> bool:
        """Whether *error* may say no more than that the consumer has other terms than it wishes: these hold now."""
        if not (self.options.wishes and isinstance(error, ConsumerMismatchError)):
            return False
        self.options = self.position.options = self.options.without_wishes()
        return True

    def _report_standing(self) -> None:
        """The stream stands, for the first time or again."""
        if self._lost:
            log.info("the stream of %s is back", self.options)
        self._lost = False

    # -- events

    def serve(self, jobs: Jobs[D]) -> None:
        """Have what comes known to *jobs*, and what waits here already."""
        self.jobs = jobs
        self._tell_jobs()
        for told in self._ready:
            if isinstance(told, UndecodableEventError | Delivered):
                event: Any = told.event if isinstance(told, UndecodableEventError) else told
                jobs.arrive(event)

    @property
    def waiting(self) -> int:
        """Events received and not taken yet."""
        return len(self._ready)

    @property
    def full(self) -> bool:
        """Whether so much waits to be taken that no more should be received until then."""
        return self._held >= MOST_HELD

    def pop(self) -> D | None:
        """The next event, None when more bytes are needed. Raises what the server told instead of an event."""
        while self._ready:
            told = self._ready.popleft()
            if isinstance(told, Delivered):
                if self.spans is not None and self.jobs is None:
                    self.spans.begin(told)
                return told
            if isinstance(told, BusError):
                raise told
            self._notify(told)
        self._held = 0
        return None

    def _notify(self, told: Gap | Dropped) -> None:
        if isinstance(told, Gap):
            (self.options.on_gap or log_gap)(told)
        else:
            (self.options.on_dropped or log_dropped)(told)

    def feed(self, data: bytes) -> None:
        """Take in the next bytes of the open connection.

        Raises `NotBusError`, `TooLargeError`, `StoodStillError`, and `ConnectionFailedError` when the stream was ended
        because a token or session is over: there may be a new one by now.
        """
        if self.jobs is not None:
            self.jobs.wake()
        self._held += len(data)
        for told in self._reader.feed(data):
            if isinstance(told, list):
                self._accept(told)
            elif isinstance(told, UndecodableEventError):
                self._accept_undecodable(told)
            else:
                self._hear(told)

    def _accept(self, events: list[D]) -> None:
        connection = self.connection
        for event in events:
            event.__dict__["connection"] = connection
        if events:
            self.position.reach(events[-1].index, events[-1].id)
        if self.options.manual:
            events = self._to_do(events)
        self.position.receive(len(events))
        self._ready.extend(events)

    def _accept_undecodable(self, error: UndecodableEventError) -> None:
        event: Any = error.event
        event.__dict__["connection"] = self.connection
        self.position.reach(event.index, event.id)
        if not self.options.manual or self._is_to_do(event):
            self.position.receive(1)
            self._ready.append(error)

    def _to_do(self, events: list[D]) -> list[D]:
        if self.options.durable and self.jobs is None and self.late.is_empty:
            return events
        return [event for event in events if self._is_to_do(event)]

    def _is_to_do(self, event: D) -> bool:
        """Whether an event has to be settled: that may have been done before this connection, or be under way."""
        if self.late.settles(event):
            return False
        if self.position.is_settled(event.index):
            self.late.acknowledge(event)
            return False
        if self.jobs is not None and not self.jobs.arrive(event):
            return False
        self.position.await_settled(event.index)
        return True

    # -- what is said of events

    def settled(self, event: Delivered, said: Acknowledgement, *, attempts: int) -> None:
        """The server has taken *said* of what was delivered with so many *attempts*."""
        if self.spans is not None:
            self.spans.settled(event, said)
        if self.jobs is not None and said.action == "nack":
            self.jobs.give_back(event, attempts=attempts)
        if settles(said):
            self.position.settle(event.index)

    def put_off(self, event: Delivered, said: Acknowledgement, error: BusError) -> bool:
        """Whether *said*, which failed with *error*, will be said when *event* comes again.

        The server may know that a connection is gone before the client does: it forgets a consumer with it. A
        job that is done is done, even if nobody can be told for now.
        """
        connection = event.connection
        if isinstance(error, UnknownConsumerError) and connection.consumer_id == said.consumer_id:
            connection.live = False
        refused = isinstance(error, NotFoundError | NotOwnerError) and not connection.live
        unreachable = isinstance(error, NOT_NOW)
        unheard = unreachable and (not connection.live or (self.jobs is not None and self.jobs.runs(event)))
        if self.finished or said.action == "extend" or not (refused or unheard):
            if self.spans is not None:
                self.spans.refused(event, said, error)
            return False
        log.warning("%s of event %s will be said when it comes again: %s", said.action, event.id, error)
        self.late.keep(event, said)
        self.settled(event, said, attempts=event.attempts)
        return True

    def closed(self) -> None:
        """Nothing more is said of events."""
        if self.spans is not None:
            self.spans.end()

    # -- what isn't an event

    def _hear(self, told: Notice) -> None:
        match told:
            case StreamOpen():
                self._open(told)
            case Gap():
                self.position.skip(told)
                self._ready.append(told)
            case Dropped():
                self.position.settle(told.index)
                self._ready.append(told)
            case StreamEnd():
                self._finish(told.reason)
            case UnauthorizedError():
                raise ConnectionFailedError(f"the server ended the stream: {told}")
            case BusError():
                self._ready.append(told)
                self.finished = True

    def _open(self, told: StreamOpen) -> None:
        self._report_standing()
        self.position.open(told.next_index)
        self.silence = longest_silence(told.heartbeat)
        self.backoff.reset(told.retry)
        self._redelivery = told.redelivery
        self._tell_jobs()
        if self.connection is not None and not self.connection.consumer_id:
            self.connection.consumer_id = told.consumer_id

    def _tell_jobs(self) -> None:
        """How long an attempt may take is the consumer's to say, not the worker's."""
        if self.jobs is not None and self._redelivery:
            self.jobs.redelivery = min(self._redelivery)

    def _finish(self, reason: str) -> None:
        """The server ended the stream: for good, or to be taken up again when it is back."""
        if reason == "deleted":
            self._ready.append(UnknownConsumerError("the consumer was deleted: subscribe again to make it anew"))
        self.finished = self.finished or reason in ("limit", "tail", "deleted")

    def __repr__(self) -> str:
        state = "finished" if self.finished else "open" if self.connection else "broken"
        return f"<StreamState of {self.options}, {state}, {self.position!r}>"


def _new_worker() -> str:
    return f"w_{secrets.token_hex(8)}"
