"""A stand-in for the Go server of the same name, v0.5.3, as far as its answers to readers go.

It answers what it doesn't know with 400 (a GET without a subject), tells neither namespaces nor the end of its log,
sends no `open` and no `done`, and a comment as its heartbeat. Its events have no index, their fields come in its own
order, times have the seconds and zone that they were given with, and a payload is sent as it was published: over
several lines if it was, each with a `data:` of its own.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import unquote

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nX-Bus-Consumer-Id: c_go\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


def go_event(number: int, payload: bytes = b"1", *, subject: str = "app.a", rare: bytes = b"") -> bytes:
    """An event as that server writes it."""
    time = b"2024-05-06T07:08:%02dZ" % (number % 60)
    return b'{"id":"e_go%d"%b,"subject":"%b","created_at":"%b","payload":%b}' % (
        number,
        rare,
        subject.encode(),
        time,
        payload,
    )


def go_message(event: bytes, *, end: bytes = b"\n") -> bytes:
    """A server-sent event of it: a `data:` for each of its lines."""
    name = re.findall(rb'"id":"([^"]*)"', event)[:1]
    lines = [b"id: " + (name or [b"e_x"])[0], b"event: msg", *(b"data: " + line for line in event.splitlines())]
    return end.join([*lines, b"", b""])


@dataclass
class GoServer:
    """Sends *messages* to whoever subscribes, and keeps the stream open unless it *hangs_up*."""

    messages: Sequence[bytes]
    hangs_up: bool = False
    url: str = ""
    targets: list[str] = field(default_factory=list)

    def answer(self, connection: socket.socket) -> None:
        line = connection.recv(65536).split(b"\r\n")[0].decode()
        if not line:  # somebody looked whether we listen
            return
        self.targets.append(unquote(line.split(" ")[1]))
        if "subject=" not in line:
            text = b"missing subject in query string\n"
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
            return
        connection.sendall(_HEAD + _CHUNKED)
        for message in [b": ping\n\n", *self.messages]:
            connection.sendall(b"%x\r\n%b\r\n" % (len(message), message))
        if self.hangs_up:
            connection.sendall(b"0\r\n\r\n")
            connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def serving(server: GoServer) -> Iterator[GoServer]:
    """*server* on a port of its own while the block runs."""
    listener = socket.create_server(("127.0.0.1", 0))
    server.url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    def serve() -> None:
        with ExitStack() as held:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                held.enter_context(connection)
                with suppress(OSError):  # the command has heard enough
                    server.answer(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
