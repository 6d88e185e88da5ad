"""Streams, stored messages and consumers, by a real server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from bus.nats import (
    ACK,
    REJECT,
    ApiError,
    Chunk,
    Client,
    ConsumerConfig,
    Delivery,
    JetStream,
    Message,
    NatsError,
    NotFoundError,
    PubAck,
    PullOptions,
    StatusError,
    StreamConfig,
    encode_headers,
    nack,
)
from tests.nats.conftest import Run

NO_STREAM, WRONG_SEQUENCE = 10059, 10071


async def make_stream(jetstream: JetStream, name: str, messages: int = 0) -> None:
    """A stream of *name* that takes ``<name>.>`` and holds ``<name>.a`` with payloads 1, 2, …"""
    config = StreamConfig(name=name, subjects=(f"{name}.>",), allow_direct=True, allow_atomic=True)
    await jetstream.create_stream(config)
    for number in range(1, messages + 1):
        await jetstream.store(f"{name}.a", b"%d" % number)


@dataclass
class Heard:
    """What a consumer told."""

    queue: asyncio.Queue[Delivery | NatsError] = field(default_factory=asyncio.Queue)

    def __call__(self, told: Delivery | NatsError) -> None:
        self.queue.put_nowait(told)

    async def delivery(self) -> Delivery:
        told = await self.queue.get()
        assert isinstance(told, Delivery), told
        return told

    async def error(self) -> NatsError:
        told = await self.queue.get()
        assert isinstance(told, NatsError), told
        return told


async def read(jetstream: JetStream, stream: str, *, seq: int, batch: int, max_bytes: int = 0) -> Chunk:
    told: asyncio.Future[Chunk | NatsError] = asyncio.get_running_loop().create_future()
    jetstream.read(stream, told.set_result, seq=seq, batch=batch, max_bytes=max_bytes)
    chunk = await told
    assert isinstance(chunk, Chunk), chunk
    return chunk


def test_the_life_of_a_stream(run: Run, name: str) -> None:
    async def check(client: Client) -> None:
        jetstream = client.jetstream
        await make_stream(jetstream, name, 3)
        made = await jetstream.stream(name, subjects=">")
        assert (made.state.messages, made.state.subjects) == (3, {f"{name}.a": 3})
        assert name in [info.config.name for info in await jetstream.streams()]
        changed = await jetstream.update_stream(StreamConfig(name=name, subjects=(f"{name}.>",), max_bytes=1000))
        assert changed.config.max_bytes == 1000
        assert await jetstream.purge_stream(name, below=3) == 2
        assert (await jetstream.stream(name)).state.first_seq == 3
        await jetstream.delete_stream(name)
        with pytest.raises(ApiError, match="stream not found") as raised:
            await jetstream.stream(name)
        assert (raised.value.code, raised.value.err_code) == (404, NO_STREAM)

    run(check)


def test_a_message_is_stored_once_for_its_id(run: Run, name: str) -> None:
    async def check(client: Client) -> None:
        await make_stream(client.jetstream, name)
        headers = encode_headers({"Nats-Msg-Id": "one"})
        first, second = [await client.jetstream.store(f"{name}.a", b"x", headers=headers) for _ in range(2)]
        assert (first.stream, first.seq, first.duplicate) == (name, 1, False)
        assert (second.seq, second.duplicate) == (1, True)

    run(check)


def test_what_a_stream_refuses(run: Run, name: str) -> None:
    async def check(client: Client) -> None:
        await make_stream(client.jetstream, name, 1)
        told: asyncio.Future[PubAck | NatsError] = asyncio.get_running_loop().create_future()
        headers = encode_headers({"Nats-Expected-Last-Sequence": "7"})
        client.jetstream.publish(f"{name}.a", b"x", told.set_result, headers=headers)
        refused = await told
        assert isinstance(refused, ApiError)
        assert refused.err_code == WRONG_SEQUENCE

    run(check)


def test_an_atomic_batch(run: Run, name: str) -> None:
    async def check(client: Client) -> None:
        await make_stream(client.jetstream, name)
        for number in range(1, 10):
            headers = encode_headers({"Nats-Batch-Id": "b", "Nats-Batch-Sequence": str(number)})
            client.cluster.publish(f"{name}.a", b"x", headers=headers)
        last = {"Nats-Batch-Id": "b", "Nats-Batch-Sequence": "10", "Nats-Batch-Commit": "1"}
        ack = await client.jetstream.store(f"{name}.a", b"x", headers=encode_headers(last))
        assert (ack.seq, ack.batch, ack.count) == (10, "b", 10)

    run(check)


def test_stored_messages_are_read_in_chunks(run: Run, name: str) -> None:
    async def check(client: Client) -> None:
        await make_stream(client.jetstream, name, 20)
        chunk = await read(client.jetstream, name, seq=5, batch=10)
        assert [message.seq for message in chunk.messages] == list(range(5, 15))
        assert [message.payload for message in chunk.messages] == [b"%d" % number for number in range(5, 15)]
        assert chunk.messages[0].subject == f"{name}.a"
        assert chunk.messages[0].time.startswith("20")
        assert chunk.pending == 6
        small = await read(client.jetstream, name, seq=1, batch=20, max_bytes=100)
        assert 0 < len(small.messages) < 20
        assert await read(client.jetstream, name, seq=21, batch=10) == Chunk()

    run(check)


def test_one_stored_message(run: Run, name: str) -> None:
    async def check(client: Client) -> None:
        await make_stream(client.jetstream, name, 2)
        headers = encode_headers({"Nats-Subject": "another's", "Nats-Sequence": "9"})
        await client.jetstream.store(f"{name}.b", b"x", headers=headers)
        odd = await client.jetstream.get(name, 3)
        assert (odd.subject, odd.seq, odd.payload) == (f"{name}.b", 3, b"x")
        assert (await client.jetstream.get_last(name, f"{name}.a")).payload == b"2"
        with pytest.raises(NotFoundError):
            await client.jetstream.get(name, 4)

    run(check)


def test_a_pull_ends_when_all_have_come(run: Run, name: str) -> None:
    async def check(client: Client) -> None:
        await make_stream(client.jetstream, name, 3)
        await client.jetstream.create_consumer(name, ConsumerConfig(durable_name="d", ack_policy="explicit"))
        heard = Heard()
        puller = client.jetstream.puller(name, "d", heard)
        puller.ask(PullOptions(batch=2))
        first, second = await heard.delivery(), await heard.delivery()
        assert [(d.seq, d.attempt, d.payload) for d in (first, second)] == [(1, 1, b"1"), (2, 1, b"2")]
        assert not puller.waiting
        puller.ask(PullOptions(batch=2, expires=0))
        assert (await heard.delivery()).seq == 3
        error = await heard.error()
        assert isinstance(error, StatusError)
        assert error.status in (404, 408)
        puller.close()

    run(check)


def test_a_pull_waits_and_expires(run: Run, name: str) -> None:
    async def check(client: Client) -> None:
        await make_stream(client.jetstream, name)
        await client.jetstream.create_consumer(name, ConsumerConfig(durable_name="d", ack_policy="explicit"))
        heard = Heard()
        puller = client.jetstream.puller(name, "d", heard)
        puller.ask(PullOptions(expires=1.0, heartbeat=0.2))
        error = await heard.error()
        assert isinstance(error, StatusError)
        assert error.status == 408
        puller.ask(PullOptions())
        await client.jetstream.store(f"{name}.a", b"1")
        assert (await heard.delivery()).payload == b"1"

    run(check)


def test_a_deleted_consumer_ends_its_pull(run: Run, name: str) -> None:
    async def check(client: Client) -> None:
        await make_stream(client.jetstream, name)
        await client.jetstream.create_consumer(name, ConsumerConfig(durable_name="d", ack_policy="explicit"))
        heard = Heard()
        puller = client.jetstream.puller(name, "d", heard)
        puller.ask(PullOptions())
        while not (await client.jetstream.consumer(name, "d")).num_waiting:
            pass
        await client.jetstream.delete_consumer(name, "d")
        error = await heard.error()
        assert isinstance(error, StatusError)
        assert (error.status, error.description) == (409, "Consumer Deleted")
        puller.ask(PullOptions())
        assert "no responders" in str(await heard.error())

    run(check)


def test_what_is_said_of_deliveries(run: Run, name: str) -> None:
    async def check(client: Client) -> None:
        jetstream = client.jetstream
        await make_stream(jetstream, name, 3)
        await jetstream.create_consumer(name, ConsumerConfig(durable_name="d", ack_policy="explicit"))
        heard = Heard()
        puller = jetstream.puller(name, "d", heard)
        puller.ask(PullOptions(batch=4))
        deliveries = [await heard.delivery() for _ in range(3)]
        confirmed: asyncio.Queue[Message | NatsError] = asyncio.Queue()
        for delivery, settlement in zip(deliveries, (ACK, nack(0.1), REJECT), strict=True):
            jetstream.settle(delivery.reply, settlement, confirmed.put_nowait)
        answers = [await confirmed.get() for _ in range(3)]
        assert all(isinstance(answer, Message) for answer in answers)
        again = await heard.delivery()
        assert (again.seq, again.attempt) == (2, 2)
        assert (await jetstream.consumer(name, "d")).num_ack_pending == 1
        assert [info.name for info in await jetstream.consumers(name)] == ["d"]

    run(check)


def test_following_a_stream(run: Run, name: str) -> None:
    async def check(client: Client) -> None:
        await make_stream(client.jetstream, name, 5)
        heard = Heard()
        ordered = client.jetstream.follow(name, heard, start=3, heartbeat=0.2)
        assert [(await heard.delivery()).seq for _ in range(3)] == [3, 4, 5]
        await client.jetstream.store(f"{name}.a", b"6")
        assert (await heard.delivery()).payload == b"6"
        for info in await client.jetstream.consumers(name):
            await client.jetstream.delete_consumer(name, info.name)
        await client.jetstream.store(f"{name}.a", b"7")
        told = [await heard.queue.get()]
        while not isinstance(told[-1], Delivery):
            told.append(await heard.queue.get())
        assert told[-1].seq == 7
        await ordered.close()
        while await client.jetstream.consumers(name):
            pass

    run(check)


def test_flow_control_lets_everything_through(run: Run, name: str) -> None:
    async def check(client: Client) -> None:
        await make_stream(client.jetstream, name)
        stored: asyncio.Queue[PubAck | NatsError] = asyncio.Queue()
        for _ in range(1000):
            client.jetstream.publish(f"{name}.a", bytes(20_000), stored.put_nowait)
        assert all([isinstance(await stored.get(), PubAck) for _ in range(1000)])
        heard = Heard()
        ordered = client.jetstream.follow(name, heard, start=1)
        assert [(await heard.delivery()).seq for _ in range(1000)] == list(range(1, 1001))
        await ordered.close()

    run(check)
