"""Streams: the GET side. Reading what a subscriber asks for, and the sink its events go into.

A stream's body goes in chunks, because some clients hand on what has come only at the end of a chunk; and
because a stream that breaks off can then be told from one that ended. A client that says ``Connection: close``
gets the bytes as they are, and the end of the connection is the end of the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from bus.engine.base import AckMode, Engine, Start, StartKind, Subscribe, Subscription
from bus.errors import BusError, InvalidParameterError
from bus.event import check_id
from bus.server.exchange import Exchange
from bus.server.query import read_id
from bus.server.request import Request
from bus.server.response import format_headers
from bus.sse import PING, encode_event
from bus.subject import Filter
from bus.units import LARGEST_NUMBER, SECOND_NS, parse_duration, parse_time, parse_whole
from bus.wire import CONSUMER_ID, NDJSON, SSE

RETRY_MS = 1000
"""What browsers are told to wait before they reconnect."""

MOST_PREFETCH = 10_000
MOST_COUNT = 10**9


class StreamSink:
    """A subscriber's connection, as the engine sees it."""

    __slots__ = ("_chunked", "_exchange", "_ndjson", "connection", "subscription")

    def __init__(self, exchange: Exchange, *, ndjson: bool) -> None:
        self._exchange = exchange
        self._chunked = exchange.head is not None and exchange.head.keep_alive
        self.connection = exchange.connection
        self._ndjson = ndjson
        self.subscription: Subscription | None = None

    @property
    def writable(self) -> bool:
        return self.connection.writable

    def open(self, subscription: Subscription) -> None:
        """Send the head, and what goes before the first event."""
        self.subscription = subscription
        headers = _stream_headers(subscription, ndjson=self._ndjson, chunked=self._chunked)
        self._exchange.begin(200, headers)
        if not self._ndjson:
            self._exchange.write(b"".join(self._framed(_opening(subscription))))

    def write(self, data: bytes) -> None:
        self.connection.transport.writelines(self._framed(data))

    def _framed(self, data: bytes) -> tuple[bytes, ...]:
        """*data* as it goes out, without a copy: many streams share it."""
        return (b"%x\r\n" % len(data), data, b"\r\n") if self._chunked else (data,)

    def tell(self, kind: str, data: Mapping[str, Any] | str) -> None:
        if not self._ndjson:
            self.write(encode_event(kind, data if isinstance(data, str) else dict(data)))

    def ping(self) -> None:
        """Show that the stream lives; NDJSON has no line for that."""
        if not self._ndjson and self.writable:
            self.write(PING)

    def end(self, reason: str) -> None:
        self.tell("done", {"reason": reason})
        if self._chunked:
            self._exchange.write(b"0\r\n\r\n")
        self._exchange.close = True
        self._exchange.finish()

    def shut_down(self) -> None:
        """The server stops: say so and hang up."""
        if self.subscription:
            self.subscription.close()
        self.end("shutdown")


def open_stream(
    engine: Engine, request: Request, exchange: Exchange, *, now: int, opened: Callable[[StreamSink], None]
) -> None:
    """Answer a GET with a stream, as soon as the answers before it are written. *now* is in ns.

    Raises `InvalidParameterError` or `InvalidSubjectError` at once.
    """
    wanted = read_subscribe(request, now=now)
    exchange.when_first(lambda: _open(engine, wanted, exchange, opened))


def _open(engine: Engine, wanted: Subscribe, exchange: Exchange, opened: Callable[[StreamSink], None]) -> None:
    sink = StreamSink(exchange, ndjson=wanted.ndjson)
    try:
        subscription = engine.subscribe(wanted, sink)
    except BusError as error:
        exchange.fail(error)
        return
    exchange.on_lost = subscription.close
    exchange.close = True
    exchange.connection.stream = subscription.resume
    sink.open(subscription)
    opened(sink)
    subscription.start()


def _opening(subscription: Subscription) -> bytes:
    """What goes before the first event: who the subscriber is, and what it missed."""
    about = {
        "consumer_id": subscription.consumer_id,
        "namespace": subscription.namespace,
        "first_index": subscription.first_index,
        "next_index": subscription.next_index,
    }
    opening = encode_event("open", about, retry_ms=RETRY_MS)
    return opening + (encode_event("gap", asdict(subscription.gap)) if subscription.gap else b"")


def _stream_headers(subscription: Subscription, *, ndjson: bool, chunked: bool) -> str:
    coding = {"Transfer-Encoding": "chunked"} if chunked else {}
    return format_headers({
        "Content-Type": NDJSON if ndjson else SSE,
        "Cache-Control": "no-store",
        "X-Accel-Buffering": "no",
        CONSUMER_ID: subscription.consumer_id,
        **coding,
    })  # fmt: skip


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
        by_key=_read_order(request.parameter("order")),
        limit=_read_number(request, "limit", most=LARGEST_NUMBER),
        follow=_read_flag(request.parameter("follow"), default=True),
        ndjson=NDJSON in request.head.header(b"accept"),
    )
    if wanted.consumer and wanted.ack is not AckMode.MANUAL:
        raise InvalidParameterError("a durable consumer acknowledges: give ack=manual with consumer")
    return wanted


def read_start(text: str, *, now: int) -> Start:
    """``oldest``, ``newest``, an index, an RFC 3339 time, an age or an event id; *now* is in ns."""
    if text in ("", "newest"):
        return Start(StartKind.NEWEST)
    if text == "oldest":
        return Start(StartKind.OLDEST)
    if text.isdecimal():
        return Start(StartKind.INDEX, index=max(parse_whole(text, what="start"), 1))
    if text.startswith("e_"):
        return Start(StartKind.AFTER, event_id=read_id(text, "start"))
    return _read_moment(text, now)


def _read_moment(text: str, now: int) -> Start:
    """A time, an age, or an id that the publisher chose."""
    for read in (parse_time, lambda age: now - int(parse_duration(age) * SECOND_NS)):
        try:
            return Start(StartKind.TIME, time=read(text))
        except InvalidParameterError:
            continue
    try:
        return Start(StartKind.AFTER, event_id=check_id(text, "start"))
    except BusError:
        raise InvalidParameterError(
            f"start {text[:80]!a} can't be read: oldest, newest, an event id, an index, a time or an age like 15m"
        ) from None


def read_redelivery(text: str) -> tuple[float, ...] | None:
    """One duration or a list of them, one per attempt; zero and nothing mean that none is given."""
    times = tuple(parse_duration(part) for part in text.split(",") if part)
    return times if any(times) else None


def _read_resume(request: Request) -> str | None:
    text = request.head.header(b"last-event-id") or request.parameter("last_event_id")
    return read_id(text, "Last-Event-ID") if text else None


def _read_ack(text: str) -> AckMode:
    try:
        return AckMode(text or "none")
    except ValueError:
        raise InvalidParameterError(f"ack {text[:80]!a} is not among none, manual") from None


def _read_order(text: str) -> bool:
    if text not in ("", "key"):
        raise InvalidParameterError(f"order {text[:80]!a} is not known: the only order is key")
    return text == "key"


def _read_flag(text: str, *, default: bool) -> bool:
    known = {"": default, "true": True, "1": True, "false": False, "0": False}
    if text.lower() not in known:
        raise InvalidParameterError(f"follow {text[:80]!a} is not true or false")
    return known[text.lower()]


def _read_count(text: str) -> int | None:
    """Attempts in all, 0 for no limit however that is written; None if not given."""
    if not text:
        return None
    return max(parse_whole(text, what="redelivery_count", least=-MOST_COUNT, most=MOST_COUNT), 0)


def _read_number(request: Request, name: str, *, most: int) -> int | None:
    text = request.parameter(name)
    return parse_whole(text, what=name, least=1, most=most) if text else None
