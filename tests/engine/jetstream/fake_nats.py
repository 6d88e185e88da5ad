"""A server of a few lines that says in the words of NATS what a test decides, and a real one rarely does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from bus.nats import Client, Location, connect

INFO = b'INFO {"version": "2.15.1", "max_payload": 1048576, "jetstream": true, "headers": true}\r\n'


class Asked(NamedTuple):
    """What a client published for an answer."""

    subject: str
    headers: bytes
    payload: bytes


class Said(NamedTuple):
    """An answer, and the one that follows it."""

    payload: bytes
    headers: bytes = b""
    then: Said | None = None


Answer = Callable[[Asked], Said | None]
"""What is answered; None for silence."""


@asynccontextmanager
async def connected(answer: Answer) -> AsyncIterator[Client]:
    """A client of the server."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        subscribed = b""
        writer.write(INFO)
        while line := await reader.readline():
            match line.split():
                case [b"PING"]:
                    writer.write(b"PONG\r\n")
                case [b"SUB", _, *_, number]:
                    subscribed = subscribed or number
                case [b"HPUB", subject, reply, head, size]:
                    data = await reader.readexactly(int(size) + 2)
                    _tell(
                        writer,
                        answer(Asked(subject.decode(), data[: int(head)], data[int(head) : -2])),
                        reply,
                        subscribed,
                    )
                case [b"PUB", subject, reply, size]:
                    data = await reader.readexactly(int(size) + 2)
                    _tell(writer, answer(Asked(subject.decode(), b"", data[:-2])), reply, subscribed)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = await connect(Location.parse(f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    try:
        yield client
    finally:
        await client.close()
        server.close()
        await server.wait_closed()


def _tell(writer: asyncio.StreamWriter, said: Said | None, reply: bytes, sid: bytes) -> None:
    if said is None:
        return
    _write(writer, said, reply, sid)
    _tell(writer, said.then, reply, sid)


def _write(writer: asyncio.StreamWriter, said: Said, reply: bytes, sid: bytes) -> None:
    if said.headers:
        whole = said.headers + said.payload
        writer.write(b"HMSG %b %b %d %d\r\n%b\r\n" % (reply, sid, len(said.headers), len(whole), whole))
    else:
        writer.write(b"MSG %b %b %d\r\n%b\r\n" % (reply, sid, len(said.payload), said.payload))
