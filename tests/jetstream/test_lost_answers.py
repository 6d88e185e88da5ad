"""Answers that get lost on the way: what JetStream knows again is sent again, and its publisher hears where it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import msgspec
import pytest

from bus.engine.base import Outcome
from bus.engine.jetstream import publish_attempt
from bus.engine.jetstream.naming import Naming
from bus.engine.jetstream.stream_publishing import StreamPublishing
from bus.errors import BusError, DuplicateKeyError, UnconfirmedError
from bus.event import Draft, Receipt
from bus.latency import Latency
from bus.nats import Client, JetStream, Location, StreamConfig, connect
from bus.wire import Durability
from tests.nats.servers import Servers

DAY, MINUTE = 86_400.0, 60.0


class Way:
    """The way to a nats-server, which *loses* the next acknowledgement, or *breaks* in its place."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.loses = self.breaks = False
        self.closed = False

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.closed:
            writer.close()
            return
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._port)
        there = asyncio.create_task(self._there(reader, to_server))
        with suppress(ConnectionError):
            while data := await from_server.read(65536):
                acknowledges = b'"stream":' in data
                if acknowledges and self.breaks:
                    break
                if not (acknowledges and self.loses):
                    writer.write(data)
                self.loses = self.loses and not acknowledges
        self.breaks = False
        there.cancel()
        to_server.close()
        writer.close()

    async def _there(self, reader: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            to_server.write(data)
        to_server.close()


@asynccontextmanager
async def connected(node: Servers, stream: str) -> AsyncIterator[tuple[Way, Client, JetStream]]:
    """The way, a client that takes it and one that doesn't; *stream* is there."""
    way = Way(node.nodes[0].port)
    listening = await asyncio.start_server(way.carry, "127.0.0.1", 0)
    direct = await connect(Location.parse(node.url))
    client = await connect(Location.parse(f"nats://127.0.0.1:{listening.sockets[0].getsockname()[1]}"))
    name = Naming(stream)
    await direct.jetstream.create_stream(
        StreamConfig(name=name.stream("app"), subjects=name.everything("app"), allow_direct=True)
    )
    try:
        yield way, client, direct.jetstream
    finally:
        await client.close()
        await direct.jetstream.delete_stream(name.stream("app"))
        await direct.close()
        listening.close()


class Waiting:
    """A publisher, and what it is told."""

    def __init__(self) -> None:
        self.told: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def stored(self, outcomes: Sequence[Outcome], durability: Durability) -> None:
        self.told.set_result(outcomes[0])

    def failed(self, error: BusError) -> None:
        self.told.set_result(error)


class Publisher:
    """Publishes by *client*, and waits for what it is told."""

    def __init__(self, client: Client, prefix: str, window: float) -> None:
        self._publishing = StreamPublishing(
            client.jetstream, Naming(prefix), "app",
            make_id=str, window=window, durability=Durability.OS, published=Latency(), loop=asyncio.get_running_loop(),
        )  # fmt: skip

    async def publish(self, payload: bytes, *, key: str | None = None) -> Outcome:
        waiting = Waiting()
        draft = Draft(subject="app.a", payload=msgspec.Raw(payload), key=key)
        self._publishing.publish([draft], waiting, None, now=time.time_ns())
        return await waiting.told


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_attempt, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(publish_attempt, "PUBLISH_SECONDS", 0.5)


@pytest.mark.parametrize("broken", [False, True], ids=["lost", "broken"])
@pytest.mark.parametrize(("key", "window"), [("k", DAY), (None, MINUTE)], ids=["key", "no key"])
def test_what_is_known_again_is_stored_once_and_has_its_receipt(
    node: Servers, key: str | None, window: float, broken: bool
) -> None:
    async def main() -> None:
        async with connected(node, f"lost{key}{broken}") as (way, client, direct):
            way.loses, way.breaks = not broken, broken
            outcome = await Publisher(client, f"lost{key}{broken}", window).publish(b"1", key=key)
            assert isinstance(outcome, Receipt) and outcome.index == 1
            assert (await direct.stream(Naming(f"lost{key}{broken}").stream("app"))).state.messages == 1

    asyncio.run(main())


def test_without_a_message_id_nobody_knows(node: Servers) -> None:
    """The control: what JetStream doesn't know again isn't sent again, and would be stored twice."""

    async def main() -> None:
        async with connected(node, "nobody") as (way, client, direct):
            way.loses = True
            assert isinstance(await Publisher(client, "nobody", DAY).publish(b"1"), UnconfirmedError)
            assert (await direct.stream(Naming("nobody").stream("app"))).state.messages == 1

    asyncio.run(main())


def test_a_key_that_somebody_used_before_stays_used(node: Servers) -> None:
    async def main() -> None:
        async with connected(node, "used") as (way, client, _):
            publisher = Publisher(client, "used", DAY)
            first = await publisher.publish(b"1", key="k")
            way.loses = True
            second = await publisher.publish(b"1", key="k")
            assert isinstance(first, Receipt) and isinstance(second, DuplicateKeyError)
            assert second.receipt == first

    asyncio.run(main())


def test_what_may_be_stored_is_never_said_not_to_be(node: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no connection in the end: that would mean that nothing was stored, had it not been sent before."""
    monkeypatch.setattr("bus.engine.jetstream.stream_publishing.PATIENCE", 0.5)

    async def main() -> None:
        async with connected(node, "never") as (way, client, direct):
            way.breaks = way.closed = True
            assert isinstance(await Publisher(client, "never", DAY).publish(b"1", key="k"), UnconfirmedError)
            assert (await direct.stream(Naming("never").stream("app"))).state.messages == 1
            way.closed = False

    asyncio.run(main())
