"""NATS and JetStream over the text protocol that their documentation describes."""

from __future__ import annotations

import json
import re
import socket
import sys
from pathlib import Path
from typing import Any

from benchmarks.peers.base import OTHER_SUBJECT, SUBJECT, Exchange, Upload, event
from benchmarks.servers import PeerError
from benchmarks.wires import Wire

CONNECT = b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\n'
WINDOW = 1000
"""Publishes of one block: two blocks are open, well under the 10,000 that a stream takes unanswered."""

_DELIVERY = re.compile(rb"^MSG app\S* 1 (\S+) \d+\r\n", re.M)


def publish(subject: str, payload: bytes = b"", reply: str = "") -> bytes:
    """A PUB of the protocol."""
    return f"PUB {subject} {f'{reply} ' if reply else ''}{len(payload)}\r\n".encode() + payload + b"\r\n"


def call(port: int, subject: str, request: Any = None) -> Any:
    """Ask JetStream's own interface. Raises `PeerError` with what it refuses."""
    body = json.dumps(request).encode() if request is not None else b""
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rb") as lines:
        connection.sendall(CONNECT + b"SUB reply 1\r\n" + publish(subject, body, "reply"))
        length = next(int(line.split()[-1]) for line in lines if line.startswith(b"MSG reply"))
        answer = json.loads(lines.read(length))
    if "error" in answer:
        raise PeerError(f"{subject}: {answer['error']['description']}")
    return answer


def consume(port: int, deliver: str, **config: Any) -> None:
    """Make an ephemeral push consumer of the stream."""
    wanted = {"deliver_subject": deliver, "inactive_threshold": 60_000_000_000, **config}
    call(port, "$JS.API.CONSUMER.CREATE.S", {"stream_name": "S", "config": wanted})


class Nats:
    """nats-server with a file-backed stream."""

    name = "nats"
    program = "nats-server"

    def command(self, directory: Path, port: int, *, synced: bool) -> list[str]:
        sync = "sync_interval: always" if synced else ""
        config = directory / "nats.conf"
        config.write_text(
            f'listen: "127.0.0.1:{port}"\nmax_payload: 8MB\nmax_pending: 1GB\n'
            f'jetstream {{ store_dir: "{directory}/data"\n {sync} }}\n'
        )
        return [str(Path(sys.executable).with_name("nats-server")), "--config", str(config)]

    def prepare(self, port: int) -> None:
        stream = {"name": "S", "subjects": ["app.>"], "storage": "file", "retention": "limits"}
        call(port, "$JS.API.STREAM.CREATE.S", stream)

    def version(self, port: int) -> str:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            return str(json.loads(connection.recv(65536).removeprefix(b"INFO "))["version"])

    def exchange(self, event: bytes, connection: int = 0) -> Exchange:
        inbox = f"inbox.{connection}"
        greeting = CONNECT + f"SUB {inbox} 1\r\n".encode()
        return Exchange(greeting, publish(SUBJECT, event, inbox), b'"seq":')

    def upload(self, events: int) -> Upload:
        pair = (publish(subject, event(subject), "inbox.0") for subject in (SUBJECT, OTHER_SUBJECT))
        block = b"".join(pair) * (WINDOW // 2)
        return Upload(CONNECT + b"SUB inbox.0 1\r\n", block, WINDOW, 4, b'"seq":')

    def subscriber(self, port: int, pattern: str, *, oldest: bool) -> Wire:
        wire = Wire(port, b"MSG app.")
        deliver = f"deliver.{wire.socket.getsockname()[1]}"
        wire.send(CONNECT + f"SUB {deliver} 1\r\n".encode())
        policy = "all" if oldest else "new"
        consume(port, deliver, deliver_policy=policy, ack_policy="none", filter_subject=pattern)
        return wire

    def acknowledger(self, port: int, window: int) -> list[Wire]:
        return [self.acknowledging(port, window, confirmed=True)]

    def acknowledging(self, port: int, window: int, *, confirmed: bool) -> Acknowledger:
        """A subscriber that acknowledges each event, and has *window* open at once."""
        wire = Acknowledger(port, confirmed=confirmed)
        consume(port, "deliver.acks", deliver_policy="all", ack_policy="explicit", max_ack_pending=window)
        return wire


class Acknowledger(Wire):
    """Acknowledges each event; counts the server's confirmations, or without them the acknowledgements sent."""

    def __init__(self, port: int, *, confirmed: bool) -> None:
        self._reply = "confirmed" if confirmed else ""
        greeting = CONNECT + b"SUB deliver.acks 1\r\nSUB confirmed 2\r\n"
        super().__init__(port, b"MSG confirmed 2 " if confirmed else b"MSG app.", greeting)

    def took(self, data: bytes, found: int) -> bytes:
        whole = data.rfind(b"\r\n") + 2
        self.count -= data.count(self._marker, whole)
        replies = _DELIVERY.findall(data, 0, whole)
        if replies:
            self.send(b"".join(publish(reply.decode(), b"", self._reply) for reply in replies))
        return data[whole:]
