"""How the server's tests speak to it: in one word where the words don't matter, byte by byte where they do."""

from __future__ import annotations

import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import SHUT_WR, socket
from typing import Any
from urllib.parse import urlencode

import msgspec

from bus.wire import EVENT_ID, NDJSON, TEXT
from tests.support import Answer, Listening, connect, request


def post(server: Listening, body: bytes | Iterator[bytes], query: str = "", **headers: Any) -> Answer:
    """``POST /`` of *body* as it stands; *query* with its question mark."""
    return request(server, "POST", f"/{query}", body, **headers)


def publish(server: Listening, subject: str, payload: Any = None, **fields: Any) -> Answer:
    """Publish one event."""
    return post(server, msgspec.json.encode({"subject": subject, "payload": payload, **fields}))


def stored(server: Listening, subject: str, payload: Any = None, **fields: Any) -> str:
    """Publish one event and return its id."""
    answer = publish(server, subject, payload, **fields)
    assert answer.status == 202, answer
    return answer.headers[EVENT_ID.lower()]


def refusal(answer: Answer) -> tuple[int, str]:
    """Status and text of an error, which is one line and nothing else."""
    text = answer.text.removesuffix("\n")
    assert text and text == " ".join(text.split()), answer
    assert answer.headers["content-type"] == TEXT
    return answer.status, text


def upload(server: Listening, lines: list[bytes]) -> list[dict[str, Any]]:
    """Publish NDJSON and return the lines of the answer."""
    answer = post(server, b"\n".join(lines), Content_Type=NDJSON)
    assert (answer.status, answer.headers["content-type"]) == (202, NDJSON)
    return [msgspec.json.decode(line) for line in answer.body.splitlines()]


def draft(subject: str, payload: Any = None, **fields: Any) -> bytes:
    """One event as a line of JSON."""
    return msgspec.json.encode({"subject": subject, "payload": payload, **fields})


def target(subject: str, **parameters: object) -> str:
    """The path and query of a subscription."""
    return "/?" + urlencode({"subject": subject, **{name: str(value) for name, value in parameters.items()}})


def read_lines(server: Listening, subject: str, **parameters: object) -> list[bytes]:
    """The stored events that *subject* takes, as the server writes them."""
    wanted = target(subject, **({"start": "oldest", "follow": "false"} | parameters))
    answer = request(server, "GET", wanted, Accept=NDJSON)
    assert answer.status == 200, answer
    return answer.body.splitlines()


def read(server: Listening, subject: str, **parameters: object) -> list[dict[str, Any]]:
    """The stored events that *subject* takes, decoded."""
    return [msgspec.json.decode(line) for line in read_lines(server, subject, **parameters)]


def acknowledge(server: Listening, consumer_id: str, *event_ids: str, body: bytes = b"", **parameters: str) -> Answer:
    """``PUT /`` for some events of one consumer."""
    named = {"consumer_id": consumer_id, "event_id": ",".join(event_ids), **parameters}
    return request(server, "PUT", "/?" + urlencode(named), body)


def metric(server: Listening, name: str) -> float:
    """The value of a metric that has no labels."""
    lines = request(server, "GET", "/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


class Peer:
    """One end of a connection: sends bytes as they stand, reads answers one by one."""

    def __init__(self, server: Listening, connection: socket) -> None:
        self._socket = connection
        self._file = connection.makefile("rb")

    def send(self, *pieces: bytes) -> None:
        """Send each piece in a segment of its own, as far as the kernel goes along."""
        for piece in pieces:
            self._socket.sendall(piece)

    def send_some(self, data: bytes) -> int:
        """Send as much of *data* as goes at once; returns how much that was."""
        return self._socket.send(data)

    def is_writable(self, *, within: float) -> bool:
        """Whether the connection takes more within so many seconds."""
        return bool(select.select([], [self._socket], [], within)[1])

    def finish_sending(self) -> None:
        """Say that nothing more will come, and go on reading."""
        self._socket.shutdown(SHUT_WR)

    def has_answer(self, *, within: float) -> bool:
        """Whether something comes from the server within so many seconds."""
        return bool(select.select([self._socket], [], [], within)[0])

    def answer(self, *, has_body: bool = True) -> Answer:
        """The next answer: its head, and its body by length, by chunks or to the end of the connection."""
        status = int(self._line().split()[1])
        headers = dict(self._headers())
        return Answer(status, headers, self._body(status, headers) if has_body else b"")

    def read(self, size: int) -> bytes:
        """The next *size* bytes, fewer if the server closes."""
        data: bytes = self._file.read(size)
        return data

    def rest(self) -> bytes:
        """What comes until the server closes."""
        data: bytes = self._file.read()
        return data

    def _line(self) -> bytes:
        line: bytes = self._file.readline()
        if not line:
            raise EOFError("the server has closed the connection")
        return line.rstrip(b"\r\n")

    def _headers(self) -> Iterator[tuple[str, str]]:
        while line := self._line():
            name, _, value = line.decode().partition(":")
            yield name.lower(), value.strip()

    def _body(self, status: int, headers: dict[str, str]) -> bytes:
        if status in (100, 204):
            return b""
        if headers.get("transfer-encoding") == "chunked":
            return b"".join(self.chunks())
        return self.read(int(headers["content-length"])) if "content-length" in headers else self.rest()

    def chunks(self) -> Iterator[bytes]:
        """The chunks of a body up to its end."""
        while size := int(self._line(), 16):
            yield self.read(size)
            self._line()
        self._line()


@contextmanager
def dial(server: Listening) -> Iterator[Peer]:
    """A connection to *server*."""
    with connect(server.port) as connection:
        peer = Peer(server, connection)
        try:
            yield peer
        finally:
            peer._file.close()


def with_limits(**limits: float) -> list[str]:
    """A wrapper for `ServerProcess` that gives the server other limits, so that no test waits for the real ones."""
    script = Path(__file__).with_name("with_limits.py")
    return [sys.executable, str(script), *(f"{name}={value}" for name, value in limits.items()), "--"]


def with_mistakes(*places: str) -> list[str]:
    """The wrapper of a server whose methods at *places* raise; see with_mistakes.py."""
    return [sys.executable, str(Path(__file__).parent / "with_mistakes.py"), *places, "--"]
