"""Redis Streams over RESP, the protocol that its documentation describes."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from benchmarks.peers.base import OTHER_SUBJECT, SUBJECT, Exchange, Upload, event
from benchmarks.wires import Wire

KEY = b"events"
PAGE = 1000
"""Events of one XREAD."""

_ENTRY = re.compile(rb"\$\d+\r\n(\d+-\d+)\r\n\*2\r\n\$1\r\ne\r\n\$\d+\r\n")


def command(*words: bytes) -> bytes:
    """A command as RESP."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


class Redis:
    """redis-server with an append-only file."""

    name = "redis"
    program = "redis-server"

    def command(self, directory: Path, port: int, *, synced: bool) -> list[str]:
        where = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory)]
        kept = ["--save", "", "--appendonly", "yes", "--appendfsync", "always" if synced else "everysec"]
        return ["redis-server", *where, *kept]

    def prepare(self, port: int) -> None:
        """A stream begins with its first event."""

    def version(self, port: int) -> str:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(command(b"INFO", b"server"))
            return connection.recv(65536).partition(b"redis_version:")[2].split()[0].decode()

    def exchange(self, event: bytes, connection: int = 0) -> Exchange:
        return Exchange(b"", command(b"XADD", KEY, b"*", b"e", event), b"$")

    def upload(self, events: int) -> Upload:
        pair = (command(b"XADD", KEY, b"*", b"e", event(subject)) for subject in (SUBJECT, OTHER_SUBJECT))
        return Upload(b"", b"".join(pair) * (PAGE // 2), PAGE, 4, b"$")

    def subscriber(self, port: int, pattern: str, *, oldest: bool) -> Wire:
        return Reader(port, b"0-0" if oldest else b"$")

    def acknowledger(self, port: int, window: int) -> list[Wire]:
        return [Acknowledger(port, window)]


class Reader(Wire):
    """Reads the stream page by page, each XREAD sent when the page before is here."""

    def __init__(self, port: int, start: bytes) -> None:
        self._page = b""
        super().__init__(port, b"$1\r\ne\r\n", self._read(start))

    def _read(self, start: bytes) -> bytes:
        return command(b"XREAD", b"COUNT", b"%d" % PAGE, b"BLOCK", b"0", b"STREAMS", KEY, start)

    def took(self, data: bytes, found: int) -> bytes:
        entries = _page(data)
        if entries is None:
            self.count -= found
            return data
        self.send(self._read(entries[-1]))
        return b""


class Acknowledger(Wire):
    """Reads as a consumer of a group and acknowledges each page by one XACK; counts what is acknowledged."""

    def __init__(self, port: int, window: int) -> None:
        self._window = window
        self._open = 0
        group = command(b"XGROUP", b"CREATE", KEY, b"workers", b"0")
        super().__init__(port, b"$1\r\ne\r\n", group + self._read())

    def _read(self) -> bytes:
        who = (b"GROUP", b"workers", b"one", b"COUNT", b"%d" % self._window)
        return command(b"XREADGROUP", *who, b"STREAMS", KEY, b">")

    def took(self, data: bytes, found: int) -> bytes:
        self.count -= found
        if data.startswith(b":"):
            acknowledged, _, data = data.partition(b"\r\n")
            self.count += int(acknowledged[1:])
        entries = _page(data)
        if entries is None:
            return data
        self.send(command(b"XACK", KEY, b"workers", *entries) + self._read())
        return b""


def _page(data: bytes) -> list[bytes] | None:
    """The ids of a whole page, None if there is more of it to come."""
    head = re.search(rb"\*1\r\n\*2\r\n\$\d+\r\nevents\r\n\*(\d+)\r\n", data)
    if not head or not data.endswith(b"}\r\n"):
        return None
    entries = _ENTRY.findall(data, head.end())
    return entries if len(entries) == int(head[1]) else None
