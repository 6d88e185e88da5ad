"""What a server sends, cut out of the byte stream.

     MSG <subject> <sid> [reply] <bytes>\\r\\n<payload>\\r\\n
     HMSG <subject> <sid> [reply] <bytes of headers> <bytes of both>\\r\\n<headers><payload>\\r\\n
     INFO {…}\\r\\n   PING\\r\\n   PONG\\r\\n   +OK\\r\\n   -ERR '…'\\r\\n

Source: NATS documentation, "Client Protocol". Bytes may come in any pieces: what doesn't end yet is kept, and isn't
joined before all that its line announces has come, so that a large payload is copied once.
"""

from __future__ import annotations

from typing import Protocol

from bus.nats.errors import ProtocolError
from bus.nats.message import Message

MAX_LINE = 1 << 20
"""Bytes of a line, of which INFO is the longest; more isn't NATS."""


class Receiver(Protocol):
    """Who is told what came."""

    def on_message(self, sid: bytes, message: Message) -> None: ...
    def on_info(self, info: bytes) -> None: ...
    def on_ping(self) -> None: ...
    def on_pong(self) -> None: ...
    def on_error(self, text: str) -> None: ...


class Parser:
    """Tells *receiver* what `feed` brings, in its order."""

    __slots__ = ("_kept", "_receiver", "_size", "_wanted")

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._kept: list[bytes] = []
        self._size = 0
        self._wanted = 0

    def feed(self, data: bytes) -> None:
        """Take *data*. Raises `ProtocolError` if it isn't NATS."""
        if self._kept:
            self._kept.append(data)
            self._size += len(data)
            if self._size < self._wanted:
                return
            data = b"".join(self._kept)
            self._kept = []
        try:
            self._parse(data)
        except (ValueError, IndexError):
            raise ProtocolError("a server sent a line that isn't NATS; is another service on its port?") from None

    def _parse(self, data: bytes) -> None:
        start, length, receiver = 0, len(data), self._receiver
        while start < length:
            end = data.find(b"\r\n", start)
            if end < 0:
                self._keep(data, start, length - start + 1)
                return
            line = data[start:end]
            if not line.startswith((b"MSG ", b"HMSG ")):
                self._control(line)
                start = end + 2
                continue
            fields = line.split()
            body = end + 2
            after = body + int(fields[-1])
            if after + 2 > length:
                self._keep(data, start, after + 2 - start)
                return
            receiver.on_message(fields[2], _message(fields, data[body:after]))
            start = after + 2

    def _control(self, line: bytes) -> None:
        operation, _, rest = line.partition(b" ")
        match operation.upper():
            case b"PING":
                self._receiver.on_ping()
            case b"PONG":
                self._receiver.on_pong()
            case b"INFO":
                self._receiver.on_info(rest)
            case b"-ERR":
                self._receiver.on_error(rest.decode(errors="replace").strip(" '"))
            case b"+OK":
                pass
            case _:
                raise ValueError(operation)

    def _keep(self, data: bytes, start: int, wanted: int) -> None:
        self._kept = [data[start:]]
        self._size = len(data) - start
        self._wanted = wanted
        if wanted == self._size + 1 and wanted > MAX_LINE:
            raise ValueError("no line ends")


def _message(fields: list[bytes], body: bytes) -> Message:
    operation, subject, _, *reply, _ = fields
    split = int(reply.pop()) if operation == b"HMSG" else 0
    return Message(subject.decode(), reply[0].decode() if reply else "", body[:split], body[split:] if split else body)
