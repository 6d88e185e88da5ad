"""Bus over its HTTP interface."""

from __future__ import annotations

import http.client
import re
import sys
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from urllib.parse import quote

import bus
from benchmarks.peers.base import OTHER_SUBJECT, SUBJECT, Exchange, Upload, event
from benchmarks.wires import Wire
from bus.build import BUILD

_ID = re.compile(rb"^id: (\S+)$", re.M)
_CONSUMER = re.compile(rb"X-BUS-CONSUMER-ID: (\S+)", re.I)
_FRAME_END = b"\n\n"
_UPLOAD = 1_000_000
"""Events of one upload, so that a long log is not one request."""


def post(body: bytes, target: str = "/", kind: str = "application/json") -> bytes:
    """A publish as HTTP/1.1."""
    head = f"POST {target} HTTP/1.1\r\nHost: bus\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Bus:
    """The server of this project, started like anyone would, or with *more* options."""

    name = "bus"
    program = "bus server"

    def __init__(self, *more: str) -> None:
        self._more = more

    def command(self, directory: Path, port: int, *, synced: bool) -> list[str]:
        options = ["--addr", f"127.0.0.1:{port}", "--path", str(directory / "data"), "--namespaces", "app,live:memory"]
        options += self._more
        return [sys.executable, "-m", "bus", "server", *options, "--fsync", "always" if synced else "never"]

    def prepare(self, port: int) -> None:
        """Its namespaces are declared at the start."""

    def version(self, port: int) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        connection.close()
        return f"{bus.__version__} ({BUILD})"

    def exchange(self, event: bytes, connection: int = 0) -> Exchange:
        return Exchange(b"", post(event), b"HTTP/1.1 202")

    def upload(self, events: int) -> Upload:
        size = min(events, _UPLOAD)
        lines = (event(SUBJECT) + b"\n" + event(OTHER_SUBJECT) + b"\n") * (size // 2)
        return Upload(b"", post(lines, kind="application/x-ndjson"), size, 1, b'"id":"e_')

    def subscriber(self, port: int, pattern: str, *, oldest: bool) -> Wire:
        return Wire(port, b"\nevent: msg\n", subscribe(pattern, oldest=oldest))

    def acknowledger(self, port: int, window: int) -> list[Wire]:
        settled = Wire(port, b"HTTP/1.1 202")
        return [settled, Acknowledger(port, window, settled)]


def subscribe(pattern: str, *, oldest: bool, more: str = "") -> bytes:
    """A subscription as HTTP/1.1."""
    start = "oldest" if oldest else "newest"
    return f"GET /?subject={quote(pattern)}&start={start}{more} HTTP/1.1\r\nHost: bus\r\n\r\n".encode()


class Manual(Wire):
    """A subscriber under ``ack=manual`` that knows the ids it was given."""

    def __init__(self, port: int, pattern: str, window: int, *, oldest: bool) -> None:
        self.consumer = b""
        more = f"&ack=manual&redelivery=60s&prefetch={window}"
        super().__init__(port, b"\nevent: msg\n", subscribe(pattern, oldest=oldest, more=more))

    def took(self, data: bytes, found: int) -> bytes:
        if not self.consumer and (named := _CONSUMER.search(data)):
            self.consumer = named[1]
        whole = data.rfind(_FRAME_END) + 1
        if found:
            self.delivered(_ID.findall(data, 0, whole))
        self.count -= data.count(self._marker, whole)
        return data[whole:]

    @abstractmethod
    def delivered(self, ids: list[bytes]) -> None:
        """Events of these ids were delivered."""


class Acknowledger(Manual):
    """Acknowledges all events of a full window by one request on *settled*."""

    def __init__(self, port: int, window: int, settled: Wire) -> None:
        self._window, self._settled, self._open = window, settled, list[bytes]()
        super().__init__(port, "app.>", window, oldest=True)

    def delivered(self, ids: list[bytes]) -> None:
        self._open += ids
        while len(self._open) >= self._window:
            now, self._open = self._open[: self._window], self._open[self._window :]
            ids_text = b",".join(now)
            line = b"PUT /?consumer_id=%b&event_id=%b HTTP/1.1\r\n" % (self.consumer, ids_text)
            self._settled.send(line + b"Host: bus\r\nContent-Length: 0\r\n\r\n")


class Replier(Manual):
    """A service: replies to every event, on *replies* in turn; what goes out on one of them together is one write."""

    def __init__(self, port: int, pattern: str, window: int, replies: Sequence[Wire]) -> None:
        self._replies = cycle(replies)
        super().__init__(port, pattern, window, oldest=False)

    def delivered(self, ids: list[bytes]) -> None:
        line = b"PUT /?consumer_id=%b&event_id=%b HTTP/1.1\r\nHost: bus\r\nContent-Length: 2\r\n\r\n{}"
        replies: defaultdict[Wire, bytes] = defaultdict(bytes)
        for id, wire in zip(ids, self._replies, strict=False):
            replies[wire] += line % (self.consumer, id)
        for wire, together in replies.items():
            wire.send(together)
