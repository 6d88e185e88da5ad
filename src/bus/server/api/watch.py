"""``/v1/watch``: the counts of a server, pushed to all who watch it.

    opened ─▶ all there is ─▶ what has changed, every interval ─▶ … ─┬─▶ its client is gone
                 ▲    │                                              ├─▶ the server stops
                 │    └─ done, if it follows no further              └─▶ it may not any more
                 └── its rights have changed

It is counted once for all watchers that are due together: times to be due are multiples of the interval by the loop's
clock. The next count waits for several times as long as the last one took, and nothing is counted while nobody watches.
A watcher whose connection takes no more is left out, and told later what has changed since it was told last.
"""

from __future__ import annotations

import math
import secrets
from asyncio import AbstractEventLoop, Task, TimerHandle
from collections.abc import Callable
from functools import partial

import msgspec

from bus.access.rights import Rights
from bus.engine.guard import as_bus_error
from bus.errors import BusError, InvalidParameterError, StoppingError
from bus.frame import Format
from bus.server.api.changes import changes, compared
from bus.server.api.counting import Counting, Counts
from bus.server.api.heartbeat import Heartbeat
from bus.server.api.large_writes import KeptPieces
from bus.server.api.permits import Permits
from bus.server.api.stream_rights import OwnedStream
from bus.server.api.stream_sink import Opened, StreamSink
from bus.server.http.query import read_flag
from bus.server.http.request import Request
from bus.server.http.responder import Responder
from bus.server.http.response import format_headers
from bus.sse import encode_json_event
from bus.units import format_duration, parse_duration
from bus.wire import NDJSON, SSE

KIND = "counts"
LEAST_INTERVAL = 0.1
LONGEST_INTERVAL = 60.0
REST = 4
"""How many times as long as a count took the next one waits at least, so that counting takes a fifth of the time."""

Left = Callable[["Watcher"], None]


class WatchRoute:
    """Answers ``GET /v1/watch`` by what *watch* counts, as *permits* allow; *heartbeat* shows that streams live."""

    def __init__(self, watch: Watch, permits: Permits, heartbeat: Heartbeat, loop: AbstractEventLoop) -> None:
        self._watch = watch
        self._permits = permits
        self._heartbeat = heartbeat
        self._loop = loop
        self._kept = KeptPieces()

    def get(self, request: Request, responder: Responder) -> None:
        interval, form = _read_interval(request.parameter("interval")), _read_format(request)
        follow = read_flag(request.parameter("follow"), "follow", default=True)
        if request.head.method == b"HEAD":
            responder.respond(200, format_headers({"Content-Type": NDJSON if form is Format.NDJSON else SSE}))
            return
        stream = OwnedStream(
            f"w_{secrets.token_hex(8)}", request.principal, None, StreamSink(responder, form, kept=self._kept)
        )
        responder.await_turn(lambda: self._open(stream, form, interval, follow=follow))

    def _open(self, stream: OwnedStream, form: Format, interval: float, *, follow: bool) -> None:
        sink = stream.sink
        if sink.connection.draining:
            raise StoppingError("the server is stopping: watch again when it is back")
        self._permits.admit(stream)
        watcher = Watcher(stream, form, interval, follow=follow, left=self._watch.leave)
        about = {"interval": interval, "heartbeat": self._heartbeat.seconds}
        sink.open(watcher, Opened(stream.consumer_id, "the counts", about))
        self._heartbeat.begin(sink, now=self._loop.time())
        self._watch.join(watcher)

    def __repr__(self) -> str:
        return f"<WatchRoute to {self._watch!r}>"


class Watcher:
    """One who watches, every *interval* seconds or, without *follow*, once; *left* is told when that ends.

    It is told anew at ``due``.
    """

    def __init__(self, stream: OwnedStream, form: Format, interval: float, *, follow: bool, left: Left) -> None:
        self.due = 0.0
        self._stream = stream
        self._form = form
        self._follow = follow
        self._interval = interval
        self._left = left
        self._told: Counts | None = None
        self._rights = stream.principal.rights

    def tell(self, now: Counts, encoded: Encoded, *, at: float) -> None:
        """Tell what has changed, unless there is no room for it; *at* is by the loop's clock."""
        self.due = (math.floor(at / self._interval) + 1) * self._interval
        if not self._stream.sink.writable:
            return
        rights = self._stream.principal.rights
        before = self._told if rights is self._rights else None
        self._told, self._rights = now, rights
        self._stream.sink.write(
            encoded.of(before, now, rights, self._form), partial(_encode, before, now, rights, self._form)
        )
        self.resume()

    def fail(self, error: BusError) -> None:
        self._stream.sink.break_off(error)

    def resume(self) -> None:
        """There is room again: what has changed is told when it is due."""
        if self._told and not self._follow and self._stream.sink.writable:
            self.close()
            self._stream.sink.end("tail")

    def close(self) -> None:
        self._left(self)

    def __repr__(self) -> str:
        return f"<Watcher {self._stream.consumer_id}, every {format_duration(self._interval)}>"


class Watch:
    """Those who watch, and when it is counted for them by *counting*."""

    def __init__(self, counting: Counting, loop: AbstractEventLoop) -> None:
        self._counting = counting
        self._loop = loop
        self._watchers: dict[Watcher, None] = {}
        self._last: Counts | None = None
        self._rests_until = 0.0
        self._timer: TimerHandle | None = None
        self._count: Task[None] | None = None

    def join(self, watcher: Watcher) -> None:
        """Tell *watcher* as soon as it can be, and from then on whenever it is due."""
        self._watchers[watcher] = None
        self._schedule()

    def leave(self, watcher: Watcher) -> None:
        self._watchers.pop(watcher, None)
        if not self._watchers:
            self._last = None
        self._schedule()

    def _schedule(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._watchers and self._count is None:
            due = min(watcher.due for watcher in self._watchers)
            self._timer = self._loop.call_at(max(due, self._rests_until), self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._count = self._loop.create_task(self._count_once())

    async def _count_once(self) -> None:
        """Whatever goes wrong ends the streams of all who watch, for they would be told no more."""
        begun = self._loop.time()
        try:
            now = await self._counting.count()
            self._tell(compared(self._last, now) if self._last else now, at=self._loop.time())
        except Exception as error:
            told = as_bus_error(error, "counting for those who watch")
            for watcher in list(self._watchers):
                watcher.fail(told)
        finally:
            self._rests_until = self._loop.time() + REST * (self._loop.time() - begun)
            self._count = None
            self._schedule()

    def _tell(self, now: Counts, *, at: float) -> None:
        self._last = now if self._watchers else None
        encoded = Encoded()
        for watcher in [watcher for watcher in self._watchers if watcher.due <= at]:
            try:
                watcher.tell(now, encoded, at=at)
            except Exception as error:
                watcher.fail(as_bus_error(error, f"telling {watcher!r}"))

    def __repr__(self) -> str:
        return f"<Watch by {len(self._watchers)} watchers>"


class Encoded:
    """What is told at one moment, encoded once for all who know the same and may see the same."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, int, Format], bytes] = {}

    def of(self, before: Counts | None, now: Counts, rights: Rights, form: Format) -> bytes:
        """What is told to who knows *before*; whoever asks holds what it asks with, so that it keeps its identity."""
        key = id(before), id(rights), form
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = _encode(before, now, rights, form)
        return found


def _encode(before: Counts | None, now: Counts, rights: Rights, form: Format) -> bytes:
    line = msgspec.json.encode(changes(before, now, rights))
    return b'{"event":"%b",%b\n' % (KIND.encode(), line[1:]) if form is Format.NDJSON else encode_json_event(KIND, line)


def _read_format(request: Request) -> Format:
    return Format.NDJSON if NDJSON.encode() in (request.head.section.headers.get(b"accept") or b"") else Format.SSE


def _read_interval(text: str) -> float:
    """Seconds between two counts. Raises `InvalidParameterError`."""
    seconds = parse_duration(text) if text else 1.0
    if not LEAST_INTERVAL <= seconds <= LONGEST_INTERVAL:
        raise InvalidParameterError(f"interval {text[:80]!a} is not from 100ms to 1m")
    return seconds
