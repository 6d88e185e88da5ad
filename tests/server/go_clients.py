"""Reading streams as the Go server's clients of v0.5 do, which are less lenient than browsers.

Two releases of their reader of server-sent events are about. To one (0.2) a comment is data; in the other (0.1.6)
a comment swallows the event after it. Either takes ``done`` for the end, and connects again when a stream breaks off.
The events are parsed by a decoder that stops at a field it doesn't know.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from socket import socket

import msgspec

from tests.server.support import target
from tests.support import ServerProcess, connect

READERS = ("0.1.6", "0.2")


class GoEvent(msgspec.Struct, forbid_unknown_fields=True):
    """All the fields that v0.5.3 knows."""

    id: str
    subject: str
    payload: msgspec.Raw
    created_at: str
    index: int
    key: str = ""
    trace_id: str = ""
    response_subject: str = ""


@dataclass
class GoReader:
    """Turns lines into messages, as the reader of one *release* does."""

    release: str
    _data: list[bytes] = field(default_factory=list)
    _kind: bytes = b""
    _swallowing: bool = False

    def take(self, line: bytes) -> tuple[bytes, bytes] | None:
        """The kind and the data of the message that *line* completes."""
        name, _, value = line.partition(b":")
        if not line:
            return self._finish()
        if not name:
            self._swallowing = self.release == "0.1.6"
            self._data += [] if self._swallowing else [value.removeprefix(b" ")]
        elif name == b"event":
            self._kind = value.strip()
        elif name == b"data":
            self._data.append(value.removeprefix(b" "))
        return None

    def _finish(self) -> tuple[bytes, bytes] | None:
        message, swallowed = (self._kind, b"\n".join(self._data)), self._swallowing
        self._data, self._kind, self._swallowing = [], b"", False
        return None if swallowed else message


class GoStream:
    """A subscription of a Go client. ``lines`` holds all that came so far."""

    def __init__(self, connection: socket, release: str) -> None:
        self._file = connection.makefile("rb")
        self._reader = GoReader(release)
        self.lines: list[bytes] = []
        self.consumer_id = ""
        self._read_head()

    def _read_head(self) -> None:
        assert b" 200 " in self._file.readline()
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(": ")
            self.consumer_id = value if name == "X-BUS-CONSUMER-ID" else self.consumer_id

    def read_line(self) -> bytes:
        """The next line of the body. Raises `ConnectionResetError` or `EOFError` when it breaks off."""
        line: bytes = self._file.readline()
        if not line:
            raise EOFError("the stream has ended")
        self.lines.append(line)
        return line.removesuffix(b"\n")

    def messages(self) -> Iterator[tuple[bytes, bytes]]:
        """Every message until the stream ends or breaks off."""
        try:
            while True:
                if message := self._reader.take(self.read_line()):
                    yield message
        except (EOFError, ConnectionResetError):
            return

    def take(self, count: int) -> list[GoEvent]:
        """The next *count* events. Raises `msgspec.ValidationError` for a field that isn't known."""
        events = (msgspec.json.decode(data, type=GoEvent) for kind, data in self.messages() if kind == b"msg")
        return list(islice(events, count))

    def wait_for_heartbeat(self) -> None:
        """Read on to a line that stands alone behind an event."""
        while self.lines[-2:-1] != [b"\n"]:
            self._reader.take(self.read_line())


@contextmanager
def go_subscribe(server: ServerProcess, release: str, subject: str, **parameters: object) -> Iterator[GoStream]:
    """Subscribe as they do: without ``Accept``."""
    with connect(server.port) as connection:
        path = target(subject, **parameters)
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: bus\r\nConnection: close\r\n\r\n".encode())
        yield GoStream(connection, release)
