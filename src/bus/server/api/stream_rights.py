"""The rights of open streams: whose each is, who may settle what it delivered, and whether it still may be.

opened ─▶ judged ─▶ open ─▶ judged again, when tokens change or expire ─┬─▶ open
                                                                        └─▶ error, broken off
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bus.access.principal import Principal
from bus.engine.base import Subscribe
from bus.engine.guard import as_bus_error
from bus.errors import ForbiddenError, UnauthorizedError
from bus.server.api.principal_limits import HeldStreams
from bus.server.api.stream_sink import StreamSink
from bus.server.http.responder import Carrier

ENDED_REMEMBERED = 4096
"""Plain streams that have ended whose deliveries may yet be confirmed."""


@dataclass(slots=True, eq=False)
class OwnedStream:
    """One stream and whose it is; ``owner`` is as whom that one counts where streams are counted.

    ``wanted`` is None if it is of the server's counts.
    """

    consumer_id: str
    principal: Principal
    wanted: Subscribe | None
    sink: StreamSink
    owner: str = ""

    @property
    def consumer(self) -> str | None:
        """The durable consumer that it takes part in."""
        return self.wanted.consumer if self.wanted else None

    def may_be_settled_by(self, principal: Principal) -> bool:
        """Whether *principal* may say what becomes of what it delivered: its owner, or who may use the consumer."""
        if self.principal.name == principal.name or principal.rights.admin:
            return True
        return self.consumer is not None and principal.rights.may_consume(self.consumer)


NEVER = 1 << 64
"""Beyond all times in ns."""

Judge = Callable[[OwnedStream], None]
"""Raises `UnauthorizedError` or `ForbiddenError` if a stream may not be (any more)."""


class StreamRights:
    """The owned streams of a server, by connection and by consumer id; *held* counts those that are open."""

    def __init__(self, held: HeldStreams) -> None:
        self._held = held
        self._open: dict[Carrier, OwnedStream] = {}
        self._by_id: dict[str, OwnedStream] = {}
        self._ended: dict[str, OwnedStream] = {}
        self._next_expiry = NEVER

    def add(self, stream: OwnedStream) -> None:
        self._open[stream.sink.connection] = stream
        self._by_id[stream.consumer_id] = stream
        self._held.begin(stream.owner, stream.consumer)
        self._note_expiry(stream)

    def _note_expiry(self, stream: OwnedStream) -> None:
        if stream.principal.expires is not None:
            self._next_expiry = min(self._next_expiry, stream.principal.expires)

    def end(self, connection: Carrier) -> None:
        """*connection* is gone."""
        stream = self._open.pop(connection, None)
        if stream:
            del self._by_id[stream.consumer_id]
            self._held.end(stream.owner, stream.consumer)
            self._ended[stream.consumer_id] = stream
            if len(self._ended) > ENDED_REMEMBERED:
                del self._ended[next(iter(self._ended))]

    def find(self, consumer_id: str) -> OwnedStream | None:
        """The stream with this id, open or ended lately."""
        return self._by_id.get(consumer_id) or self._ended.get(consumer_id)

    def judge_all(self, judge: Judge) -> None:
        """Judge every open stream anew; those that may not be break off, and say why."""
        self._next_expiry = NEVER
        for stream in list(self._open.values()):
            try:
                judge(stream)
                self._note_expiry(stream)
            except (UnauthorizedError, ForbiddenError) as error:
                stream.sink.break_off(error)
            except Exception as error:
                stream.sink.break_off(as_bus_error(error, "judging a stream"))

    def end_expired(self, judge: Judge, *, now: int) -> None:
        """Judge them anew if the token of one has expired by *now* (ns)."""
        if self._next_expiry <= now:
            self.judge_all(judge)

    def __repr__(self) -> str:
        return f"<StreamRights of {len(self._open)} streams>"
