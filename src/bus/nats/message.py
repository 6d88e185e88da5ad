"""Messages as they are delivered, and the block of headers that stands before a payload.

NATS/1.0 503 No Responders\\r\\n    status and description stand only in answers of the server itself
Name: value\\r\\n
\\r\\n
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from bus.nats.errors import ProtocolError

_VERSION = b"NATS/1.0"


class Message(Struct, frozen=True, gc=False):
    """One message. *reply* is where an answer is awaited, *headers* the whole block; empty if there are none."""

    subject: str
    reply: str
    headers: bytes
    payload: bytes

    @property
    def status(self) -> int:
        """The server's status, 0 for a message that somebody published."""
        line = self.headers[9:12]
        return int(line) if line.isdigit() else 0

    @property
    def description(self) -> str:
        """What the server says of the status."""
        return self.headers[12 : self.headers.find(b"\r\n")].decode(errors="replace").strip()

    def header(self, name: str) -> str | None:
        """The first value of one header, whose name is compared as it is written."""
        return header(self.headers, name)


def header(block: bytes, name: str) -> str | None:
    """The first value of one header of *block*."""
    start = block.find(f"\r\n{name}:".encode())
    if start < 0:
        return None
    start += len(name) + 3
    return block[start : block.find(b"\r\n", start)].decode(errors="replace").strip()


def encode_headers(headers: Mapping[str, str]) -> bytes:
    """The block for *headers*. Raises `ValueError` if a line break in one would make another of it."""
    lines = [f"{name}: {value}" for name, value in headers.items()]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a header holds a line break")
    return "\r\n".join(["NATS/1.0", *lines, "\r\n"]).encode()


def decode_headers(block: bytes) -> dict[str, str]:
    """The headers of *block*, of those that are repeated the last. Raises `ProtocolError` if it is no such block."""
    first, _, rest = block.partition(b"\r\n")
    if not first.startswith(_VERSION):
        raise ProtocolError(f"a block of headers begins with {first[:20]!r}, not NATS/1.0")
    pairs = (line.partition(":") for line in rest.decode(errors="replace").split("\r\n") if line)
    return {name: value.strip() for name, _, value in pairs}
