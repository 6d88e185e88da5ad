"""What the benchmark has to know of a server: how to start it, and the bytes it speaks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.servers import Server
from benchmarks.wires import Wire

EVENT_BYTES = 83
SUBJECT = "app.test.a"
OTHER_SUBJECT = "app.test.b"
EVERYTHING = "app.>"
VOLATILE_SUBJECT = "live.test.a"
"""Of a namespace that Bus keeps in memory."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A publish: what a connection says first, the request, and what each answer holds once."""

    greeting: bytes
    request: bytes
    answer: bytes


@dataclass(frozen=True, slots=True)
class Upload:
    """Many publishes without waiting for each: *block* holds *size* of them, *window* blocks are open at once."""

    greeting: bytes
    block: bytes
    size: int
    window: int
    answer: bytes


class Peer(Protocol):
    """A server that Bus is measured beside, and Bus itself."""

    name: str
    program: str
    """What its server is called."""

    def command(self, directory: Path, port: int, *, synced: bool) -> list[str]:
        """How to start it on *port* with its files in *directory*."""

    def prepare(self, port: int) -> None:
        """Make what events are published to."""

    def version(self, port: int) -> str:
        """What the running server says it is."""

    def exchange(self, event: bytes, connection: int = 0) -> Exchange:
        """One event that is waited for."""

    def upload(self, events: int) -> Upload:
        """*events* of two subjects in turn."""

    def subscriber(self, port: int, pattern: str, *, oldest: bool) -> Wire:
        """A subscriber that counts events, acknowledging none."""

    def acknowledger(self, port: int, window: int) -> list[Wire]:
        """A subscriber from the start that acknowledges; the first wire counts what is confirmed."""


def event(subject: str = SUBJECT, size: int = EVENT_BYTES) -> bytes:
    """An event of *size* bytes as JSON."""
    head = b'{"subject":"%b","payload":"' % subject.encode()
    return head + b"x" * (size - len(head) - 2) + b'"}'


@dataclass(frozen=True, slots=True)
class Contender:
    """A peer at a durability."""

    peer: Peer
    synced: bool

    def __str__(self) -> str:
        return f"{self.peer.name} {'synced' if self.synced else 'unsynced'}"


@dataclass(frozen=True, slots=True)
class Running:
    """A contender whose server runs."""

    contender: Contender
    server: Server

    @property
    def peer(self) -> Peer:
        return self.contender.peer

    @property
    def port(self) -> int:
        return self.server.port
