"""What a client is told that watches a server: bytes in, counts out, over as many connections as it takes.

    connecting ── connected() ──▶ open ── feed() ──▶ counts
        ▲                          │  └── done ──▶ finished
        └───── disconnected() ─────┘

The first message of a connection has everything, the others what has changed; here they are added up.
"""

from __future__ import annotations

import msgspec

from bus.client.core.get_options import Duration, written_duration
from bus.client.core.request import Parameters, Requests
from bus.client.core.response import Response
from bus.client.core.retry import Backoff, NotBusError, reconnects
from bus.client.core.source_state import SILENCE, longest_silence
from bus.client.core.stream_notices import StreamEnd, StreamOpen, read_notice
from bus.consumer import ConsumerDescription
from bus.errors import BusError, ConnectionFailedError, UnauthorizedError
from bus.namespace import NamespaceDescription
from bus.overview import ServerCounts
from bus.sse import EventReader, ServerSentEvent
from bus.wire import SSE

PATH = "v1/watch"
SERVER = "v1/server"


class Counts(msgspec.Struct, frozen=True):
    """All that a server counts, at one moment, as far as the client may know of it.

    Attributes:
        time: when it was counted, RFC 3339.
        server: the server as a whole; None for a token without ``metrics``.
        namespaces: the namespaces, by name.
        consumers: the durable consumers, by name.
    """

    time: str
    server: ServerCounts | None
    namespaces: dict[str, NamespaceDescription]
    consumers: dict[str, ConsumerDescription]


class _Gone(msgspec.Struct):
    namespaces: list[str] = []
    consumers: list[str] = []


class _Changes(msgspec.Struct):
    """One message."""

    time: str
    full: bool = False
    server: ServerCounts | None = None
    namespaces: list[NamespaceDescription] = []
    consumers: list[ConsumerDescription] = []
    gone: _Gone = msgspec.field(default_factory=_Gone)


class WatchState:
    """What is known of a server that is watched every *interval*, once without *follow*.

    It is a `SourceState`, and never full: whoever takes the counts more seldom than they come gets the latest.
    """

    def __init__(self, *, interval: Duration | None, follow: bool) -> None:
        self.finished = False
        self.stands = self.full = False
        self.silence = SILENCE
        self.backoff = Backoff()
        self._query: Parameters = [] if interval is None else [("interval", written_duration(interval))]
        if not follow:
            self._query.append(("follow", "false"))
        self._reader = EventReader()
        self._known: Counts | None = None
        self._latest: Counts | None = None
        self._error: BusError | None = None

    def request(self, requests: Requests) -> bytes:
        """What the next connection asks for."""
        return requests.subscribe(self._query, path=PATH)

    def connected(self, head: Response) -> None:
        """A connection was answered by *head*. Raises `NotBusError` if that isn't the head of a stream."""
        kind = head.header("content-type").partition(";")[0].strip().lower()
        if kind != SSE:
            raise NotBusError(f"answered {kind or 'with no type'} in place of a stream: is this a Bus server?")
        self._reader = EventReader()
        self._known = None

    def disconnected(self) -> None:
        """The connection is gone."""
        self.stands = False

    def goes_on(self, error: BusError) -> bool:
        """Whether to make another connection after one that broke by *error*."""
        self.backoff.heed(error)
        return reconnects(error)

    def closed(self) -> None:
        """Nobody asks for counts any more: let go of them."""
        self._known = self._latest = None

    def forked(self) -> None:
        """This is a child's copy: the connection is its parent's."""
        self.disconnected()

    def pop(self) -> Counts | None:
        """The latest counts, None when more bytes are needed. Raises what the server told in their place."""
        latest, self._latest = self._latest, None
        if latest is None and self._error is not None:
            error, self._error = self._error, None
            raise error
        return latest

    def feed(self, data: bytes) -> None:
        """Take in the next bytes. Raises `NotBusError` or `TooLargeError`."""
        for event in self._reader.feed(data):
            self._hear(event)

    def _hear(self, event: ServerSentEvent) -> None:
        if event.kind == "counts":
            self._add(event.data)
            return
        match read_notice(event):
            case StreamOpen() as told:
                self.stands = True
                self.silence = longest_silence(told.heartbeat)
                self.backoff.reset(told.retry)
            case StreamEnd():
                self.finished = True
            case UnauthorizedError() as error:
                raise ConnectionFailedError(f"the server ended the stream: {error}")
            case BusError() as error:
                self._error = error
                self.finished = True

    def _add(self, data: bytes) -> None:
        try:
            told = msgspec.json.decode(data, type=_Changes)
        except ValueError as error:
            raise NotBusError(f"the counts can't be read ({error}): is this a Bus server?") from None
        self._known = self._latest = _added(None if told.full else self._known, told)

    def __repr__(self) -> str:
        return f"<WatchState {'finished' if self.finished else 'open' if self.stands else 'not connected'}>"


def _added(known: Counts | None, told: _Changes) -> Counts:
    namespaces = dict(known.namespaces) if known else {}
    consumers = dict(known.consumers) if known else {}
    for name in told.gone.namespaces:
        namespaces.pop(name, None)
    for name in told.gone.consumers:
        consumers.pop(name, None)
    namespaces |= {row.namespace: row for row in told.namespaces}
    consumers |= {row.name: row for row in told.consumers}
    return Counts(told.time, told.server, namespaces, consumers)
