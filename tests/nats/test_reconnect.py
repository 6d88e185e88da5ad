"""Servers that are killed, frozen and started again, and what becomes of what was asked of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.nats import (
    CannotConnectError,
    Client,
    ConnectionLostError,
    ConsumerConfig,
    Delivery,
    DisconnectedError,
    Message,
    NatsError,
    NoRespondersError,
    PubAck,
    PullOptions,
    StreamConfig,
    UnknownOutcomeError,
    encode_headers,
)
from tests.nats.conftest import run_with
from tests.nats.listening import Listening
from tests.nats.servers import Node, Servers

BEAT = 0.2


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Servers]:
    with Servers(tmp_path) as servers:
        yield servers


@pytest.fixture(scope="module")
def shared_three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with Servers(tmp_path_factory.mktemp("three"), count=3) as servers:
        yield servers


@pytest.fixture
def three(shared_three: Servers) -> Servers:
    """Three nodes, all of them up."""
    for node in shared_three.nodes:
        node.thaw()
    shared_three.start()
    return shared_three


def connected_node(servers: Servers, client: Client) -> Node:
    return servers.at(client.cluster.address.port)


async def leader(servers: Servers, client: Client, stream: str) -> Node:
    cluster = (await client.jetstream.stream(stream)).cluster
    assert cluster is not None
    return servers.node(cluster.leader)


async def make_stream(client: Client, name: str) -> None:
    """A stream of three replicas; servers that have just started may not know each other yet."""
    config = StreamConfig(name=name, subjects=(f"{name}.>",), num_replicas=3, allow_direct=True)
    while True:
        try:
            await client.jetstream.create_stream(config)
            return
        except NatsError:
            await asyncio.sleep(0.1)


async def store(client: Client, subject: str, number: int, listening: Listening) -> PubAck:
    """Store a message, again and again under one id until it is acknowledged."""
    headers = encode_headers({"Nats-Msg-Id": f"{subject}.{number}"})
    while True:
        try:
            return await client.jetstream.store(subject, b"%d" % number, headers=headers, seconds=2)
        except DisconnectedError:
            await listening.returns.get()
        except NoRespondersError:
            await asyncio.sleep(0.05)  # there is no leader yet
        except UnknownOutcomeError:
            pass


def test_a_killed_server_is_left_for_another(three: Servers, name: str) -> None:
    listening = Listening()

    async def check(client: Client) -> None:
        heard: asyncio.Queue[Message] = asyncio.Queue()
        client.cluster.subscribe(name, heard.put_nowait)
        await client.cluster.flush()
        left = connected_node(three, client)
        left.kill()
        assert left.address in str(await listening.losses.get())
        assert not client.cluster.connected
        with pytest.raises(DisconnectedError):
            client.cluster.publish(name)
        await listening.returns.get()
        assert connected_node(three, client) is not left
        client.cluster.publish(name, b"after")
        assert (await heard.get()).payload == b"after"

    run_with(three.url, check, listener=listening)


def test_a_frozen_server_is_left_after_two_beats(three: Servers, name: str) -> None:
    listening = Listening()

    async def check(client: Client) -> None:
        left = connected_node(three, client)
        left.freeze()
        assert "silent for 2 beats" in str(await listening.losses.get())
        await listening.returns.get()
        assert connected_node(three, client) is not left
        await client.cluster.flush()

    run_with(three.url, check, listener=listening, beat=BEAT)


def test_who_connects_passes_over_a_frozen_server(three: Servers) -> None:
    frozen = three.nodes[0]
    frozen.freeze()

    async def check(client: Client) -> None:
        assert connected_node(three, client) is not frozen

    for _ in range(4):
        run_with(three.url, check, connect_seconds=0.5)


def test_what_was_asked_of_a_lost_server_is_unknown(one: Servers, name: str) -> None:
    async def check(client: Client) -> None:
        client.cluster.subscribe(name, lambda message: None)
        asked = asyncio.create_task(client.requests.ask(name, seconds=30))
        await client.cluster.flush()
        one.kill()
        with pytest.raises(ConnectionLostError) as raised:
            await asked
        assert isinstance(raised.value, UnknownOutcomeError)
        with pytest.raises(DisconnectedError):
            await client.requests.ask(name, seconds=30)

    run_with(one.url, check)


def test_a_server_comes_back(one: Servers, name: str) -> None:
    listening = Listening()

    async def check(client: Client) -> None:
        heard: asyncio.Queue[Message] = asyncio.Queue()
        client.cluster.subscribe(name, heard.put_nowait)
        for _ in range(2):
            one.kill()
            await listening.losses.get()
            one.start()
            await listening.returns.get()
            assert (await client.jetstream.account()).streams == 0
            client.cluster.publish(name)
            await heard.get()

    run_with(one.url, check, listener=listening)


def test_nobody_to_connect_to(one: Servers) -> None:
    async def check(client: Client) -> None:
        raise AssertionError("it connected")

    one.kill()
    with pytest.raises(CannotConnectError, match=f"can't connect to {one.addresses}"):
        run_with(one.url, check)


def test_a_pull_is_told_that_its_server_is_lost(three: Servers, name: str) -> None:
    listening = Listening()

    async def check(client: Client) -> None:
        await make_stream(client, name)
        await client.jetstream.create_consumer(name, ConsumerConfig(durable_name="d", ack_policy="explicit"))
        told: asyncio.Queue[Delivery | NatsError] = asyncio.Queue()
        puller = client.jetstream.puller(name, "d", told.put_nowait)
        while not (await client.jetstream.consumer(name, "d")).num_waiting:
            puller.ask(PullOptions(batch=10))  # a consumer that is being made answers no pull
            await client.cluster.flush()
        while not told.empty():
            told.get_nowait()
        connected_node(three, client).kill()
        assert isinstance(await told.get(), ConnectionLostError)
        await listening.returns.get()
        puller.ask(PullOptions(batch=10, heartbeat=0.5))
        await store(client, f"{name}.a", 1, listening)
        while not isinstance(heard := await told.get(), Delivery):
            puller.ask(PullOptions(batch=10, heartbeat=0.5))
        assert heard.payload == b"1"

    run_with(three.url, check, listener=listening)


@pytest.mark.parametrize("fault", ["kill", "freeze"])
def test_a_followed_stream_has_no_hole(three: Servers, name: str, fault: str) -> None:
    """The node that is connected and then the stream's leader fail and come back, while messages come and go."""
    listening = Listening()

    async def check(client: Client) -> None:
        await make_stream(client, name)
        told: asyncio.Queue[Delivery | NatsError] = asyncio.Queue()
        ordered = client.jetstream.follow(name, told.put_nowait, start=1, heartbeat=BEAT)
        stored = 0
        for node in (connected_node(three, client), await leader(three, client, name)):
            getattr(node, fault)()
            for _ in range(20):
                stored += 1
                await store(client, f"{name}.a", stored, listening)
            node.thaw()
            await asyncio.to_thread(three.start)
        seen: list[tuple[int, bytes]] = []
        while len(seen) < stored:
            if isinstance(delivery := await told.get(), Delivery):
                seen.append((delivery.seq, delivery.payload))
        assert seen == [(number, b"%d" % number) for number in range(1, stored + 1)]
        await ordered.close()

    run_with(three.url, check, listener=listening, beat=BEAT, patience=50.0)
