"""Whether a server can be used, by what it says of itself: servers that can't are played by a few lines here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from bus.nats import CannotConnectError, Location, UnsuitableError, check_server, connect

FINE = {"version": "2.12.0", "max_payload": 1 << 20, "jetstream": True}


@asynccontextmanager
async def playing(greeting: bytes) -> AsyncIterator[Location]:
    """A server that greets so, and answers each PING."""

    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(greeting)
        while line := await reader.readline():
            if line == b"PING\r\n":
                writer.write(b"PONG\r\n")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Location.parse(f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    finally:
        server.close()
        for writer in writers:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def check(info: dict[str, object], max_payload: int = 0) -> None:
    async with playing(b"INFO " + json.dumps(info).encode() + b"\r\n") as location:
        client = await connect(location)
        try:
            check_server(client.cluster, max_payload=max_payload)
        finally:
            await client.close()


@pytest.mark.parametrize("version", ["2.12.0", "2.12.0-RC.1", "2.15.1", "3.0.0"])
def test_a_server_that_can_be_used(version: str) -> None:
    asyncio.run(check(FINE | {"version": version}, max_payload=1 << 20))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"version": "2.11.9"}, r"nats-server 2\.11\.9 at 127\.0\.0\.1:\d+ is too old: use 2\.12 or newer"),
        ({"version": ""}, "is too old"),
        ({"jetstream": False}, r'has no JetStream: add "jetstream \{\}" to its settings'),
        ({"max_payload": 65536}, 'takes 65536 bytes at most: set "max_payload: 1048576" or more'),
    ],
    ids=["old", "nameless", "no-jetstream", "small"],
)
def test_a_server_that_can_not(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(UnsuitableError, match=said):
        asyncio.run(check(FINE | wrong, max_payload=1 << 20))


@pytest.mark.parametrize("greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"INFO {\r\n", b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_another_service(greeting: bytes) -> None:
    async def main() -> None:
        async with playing(greeting) as location:
            await connect(location)

    with pytest.raises(CannotConnectError, match=r"NATS|can't be read"):
        asyncio.run(main())


def test_a_server_that_says_nothing() -> None:
    async def main() -> None:
        async with playing(b"") as location:
            await connect(location, connect_seconds=0.2)

    with pytest.raises(CannotConnectError, match=r"no answer in 0\.2 s"):
        asyncio.run(main())
