"""Subscribing: the GET side. What a subscriber asks for, and the stream it gets."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from bus.access.principal import Principal
from bus.engine.base import AckMode, Engine, Subscribe, Subscription
from bus.engine.start import StartKind, StartPoint
from bus.errors import BusError, InvalidParameterError, StoppingError
from bus.event import check_id
from bus.frame import Format
from bus.server.api.heartbeat import Heartbeat
from bus.server.api.large_writes import KeptPieces
from bus.server.api.permits import Permits
from bus.server.api.route import Need
from bus.server.api.stream_rights import OwnedStream
from bus.server.api.stream_sink import Opened, StreamSink
from bus.server.api.traced_sink import TracedSink
from bus.server.http.client_address import ClientAddresses
from bus.server.http.query import read_flag, read_id
from bus.server.http.request import Request
from bus.server.http.responder import Responder
from bus.subject import Filter
from bus.tracing import Tracing
from bus.units import LARGEST_NUMBER, SECOND_NS, parse_duration, parse_time, parse_whole
from bus.wire import NDJSON

MOST_PREFETCH = 10_000
MOST_COUNT = 10**9


class Streams:
    """Opens streams on an engine for *clients* as *permits* allow, and has *heartbeat* show that they live.

    When it is ``stopping`` it opens no more. What consumers are sent is told to *tracing*, if somebody traces.
    """

    def __init__(
        self,
        engine: Engine,
        permits: Permits,
        heartbeat: Heartbeat,
        clients: ClientAddresses,
        loop: AbstractEventLoop,
        tracing: Tracing | None = None,
    ) -> None:
        self.stopping = False
        self._clients = clients
        self._engine = engine
        self._permits = permits
        self._heartbeat = heartbeat
        self._loop = loop
        self._kept = KeptPieces()
        self._tracing = tracing

    def open(self, request: Request, responder: Responder, *, now: int) -> None:
        """Answer a GET with a stream, as soon as the answers before it are written. *now* is in ns.

        Raises `StoppingError`, `InvalidParameterError`, `InvalidSubjectError`, `UnauthorizedError` or `ForbiddenError`
        at once.
        """
        if self.stopping:
            raise StoppingError("the server is stopping: subscribe again when it is back")
        wanted = read_subscribe(request, now=now)
        self._permits.check_subscribe(request, responder, wanted)
        if wanted.consumer:
            wanted = replace(wanted, address=self._clients.shown(responder.connection, request.head))
        responder.await_turn(lambda: self._open(wanted, request.principal, responder))

    def _open(self, wanted: Subscribe, principal: Principal, responder: Responder) -> None:
        sink = self._sink(wanted, responder)
        opening = StreamOpening(
            sink, responder, self._heartbeat, self._loop, admit=partial(self._admit, wanted, principal)
        )
        responder.on_lost = opening.give_up
        self._engine.subscribe(wanted, sink, opening)

    def _sink(self, wanted: Subscribe, responder: Responder) -> StreamSink:
        if self._tracing is None or wanted.ack is not AckMode.MANUAL:
            return StreamSink(responder, wanted.format, kept=self._kept)
        return TracedSink(responder, wanted, kept=self._kept, tracing=self._tracing)

    def _admit(self, wanted: Subscribe, principal: Principal, consumer_id: str, sink: StreamSink) -> None:
        self._permits.admit(OwnedStream(consumer_id, principal, wanted, sink))

    def __repr__(self) -> str:
        return f"<Streams of {self._engine!r}>"


class StreamOpening:
    """A stream that waits for its subscription.

    asked ─▶ opened ─▶ admitted ─▶ head, what goes before the first event ─▶ started
               └──────────┴──────▶ closed: the client is gone, the server is stopping, or it may not any more
    """

    def __init__(
        self,
        sink: StreamSink,
        responder: Responder,
        heartbeat: Heartbeat,
        loop: AbstractEventLoop,
        *,
        admit: Callable[[str, StreamSink], None],
    ) -> None:
        self._sink = sink
        self._admit = admit
        self._responder = responder
        self._heartbeat = heartbeat
        self._loop = loop
        self._is_wanted = True

    def opened(self, subscription: Subscription) -> None:
        self._responder.run(self._begin, subscription)

    def refused(self, error: BusError) -> None:
        self._responder.fail(error)

    def give_up(self) -> None:
        """The client is gone."""
        self._is_wanted = False

    def _begin(self, subscription: Subscription) -> None:
        if not self._is_wanted:
            subscription.close()
        elif self._responder.connection.draining:
            subscription.close()
            raise StoppingError("the server is stopping: subscribe again when it is back")
        else:
            self._begin_admitted(subscription)

    def _begin_admitted(self, subscription: Subscription) -> None:
        try:
            self._admit(subscription.consumer_id, self._sink)
        except BusError:
            subscription.close()
            raise
        self._sink.open(subscription, _opened(subscription, heartbeat=self._heartbeat.seconds))
        self._heartbeat.begin(self._sink, now=self._loop.time())
        subscription.start()


def _opened(subscription: Subscription, *, heartbeat: float) -> Opened:
    """Who the subscriber is, where it begins, and what it missed."""
    about: dict[str, Any] = {
        "consumer_id": subscription.consumer_id,
        "namespace": subscription.namespace,
        "first_index": subscription.first_index,
        "next_index": subscription.next_index,
        "heartbeat": int(heartbeat) if heartbeat == int(heartbeat) else heartbeat,
    }
    if subscription.redelivery:
        about["redelivery"] = subscription.redelivery
    return Opened(subscription.consumer_id, subscription.namespace, about, subscription.gap, named=True)


def need_to_subscribe(request: Request) -> Need:
    """A subscriber that takes part in a consumer needs more than one that looks. Raises `InvalidParameterError`."""
    takes_part = any(request.query.get("consumer", ())) or "manual" in request.query.get("ack", ())
    return Need.CONSUME if takes_part else Need.SUBSCRIBE


# -- parameters


def read_subscribe(request: Request, *, now: int) -> Subscribe:
    """What the subscriber asks for. Raises `InvalidParameterError` or `InvalidSubjectError`."""
    wanted = Subscribe(
        filter=Filter.parse(request.query.get("subject", [])),
        start=read_start(request.parameter("start"), now=now),
        resume_after=_read_resume(request),
        ack=_read_ack(request.parameter("ack")),
        redelivery=read_redelivery(request.parameter("redelivery")),
        redelivery_count=_read_count(request.parameter("redelivery_count")),
        prefetch=_read_number(request, "prefetch", most=MOST_PREFETCH) or 1,
        consumer=request.parameter("consumer") or None,
        worker=_read_worker(request.parameter("worker")),
        by_key=read_order(request.parameter("order")),
        limit=_read_number(request, "limit", most=LARGEST_NUMBER),
        follow=read_flag(request.parameter("follow"), "follow", default=True),
        expired=read_flag(request.parameter("expired"), "expired", default=False),
        format=_read_format(request.head.section.headers.get(b"accept")),
    )
    if wanted.consumer and wanted.ack is not AckMode.MANUAL:
        raise InvalidParameterError("a durable consumer acknowledges: give ack=manual with consumer")
    if wanted.expired and (wanted.follow or wanted.ack is AckMode.MANUAL):
        raise InvalidParameterError("expired events are for copies: give follow=false, and no ack=manual, with expired")
    return wanted


def read_start(text: str, *, now: int, what: str = "start") -> StartPoint:
    """``oldest``, ``newest``, ``last``, an index, ``-N``, an RFC 3339 time, an age or an event id; *now* is in ns.

    Raises `InvalidParameterError` that names *what* it is.
    """
    if text in ("", "newest"):
        return StartPoint(StartKind.NEWEST)
    if text == "oldest":
        return StartPoint(StartKind.OLDEST)
    if text == "last":
        return StartPoint(StartKind.LAST)
    if text.isdecimal():
        return StartPoint(StartKind.INDEX, index=max(parse_whole(text, what=what), 1))
    if text[0] == "-" and text[1:].isdecimal():
        return StartPoint(StartKind.BACK, events=parse_whole(text[1:], what=f"{what} -", least=1, most=MOST_COUNT))
    if text.startswith("e_"):
        return StartPoint(StartKind.AFTER, event_id=read_id(text, what))
    return _read_moment(text, now, what)


def _read_moment(text: str, now: int, what: str) -> StartPoint:
    """A time, an age, or an id that the publisher chose."""
    for read in (parse_time, lambda age: now - int(parse_duration(age) * SECOND_NS)):
        try:
            return StartPoint(StartKind.TIME, time=read(text))
        except InvalidParameterError:
            continue
    try:
        return StartPoint(StartKind.AFTER, event_id=check_id(text, what))
    except BusError:
        raise InvalidParameterError(
            f"{what} {text[:80]!a} can't be read: "
            "oldest, newest, last, an event id, an index, -10 for the last ten, a time or an age like 15m"
        ) from None


def read_redelivery(text: str) -> tuple[float, ...] | None:
    """One duration or a list of them, one per attempt; zero and nothing mean that none is given."""
    times = tuple(parse_duration(part) for part in text.split(",") if part)
    return times if any(times) else None


def _read_resume(request: Request) -> str | None:
    text = request.head.section.header(b"last-event-id") or request.parameter("last_event_id")
    return read_id(text, "Last-Event-ID") if text else None


def _read_format(accept: bytes | None) -> Format:
    """Clients that don't say what they accept are those of the Go server, which know the core fields alone."""
    if accept is None:
        return Format.CORE
    return Format.NDJSON if NDJSON.encode() in accept else Format.SSE


def _read_ack(text: str) -> AckMode:
    try:
        return AckMode(text or "none")
    except ValueError:
        raise InvalidParameterError(f"ack {text[:80]!a} is not among none, manual") from None


def _read_worker(text: str) -> str:
    try:
        return check_id(text, "worker") if text else ""
    except BusError as error:
        raise InvalidParameterError(error.message) from None


def read_order(text: str) -> bool:
    """Whether order is kept by key. Raises `InvalidParameterError`."""
    if text not in ("", "key"):
        raise InvalidParameterError(f"order {text[:80]!a} is not known: the only order is key")
    return text == "key"


def _read_count(text: str) -> int | None:
    """Attempts in all, 0 for no limit however that is written; None if not given."""
    if not text:
        return None
    return max(parse_whole(text, what="redelivery_count", least=-MOST_COUNT, most=MOST_COUNT), 0)


def _read_number(request: Request, name: str, *, most: int) -> int | None:
    text = request.parameter(name)
    return parse_whole(text, what=name, least=1, most=most) if text else None
