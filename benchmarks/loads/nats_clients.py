"""What an event of JetStream costs a program in Python: with the client that Bus has, and with nats-py.

Both on uvloop, both by what each offers for speed: publishing with a window, and callbacks for what is delivered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import nats
import uvloop

from benchmarks.loads.publish import fill
from benchmarks.meter import Meter
from benchmarks.peers.base import EVERYTHING, SUBJECT, Running, event
from benchmarks.stats import Figures
from benchmarks.wires import later
from bus.nats import Client, Delivery, Location, NatsError, PubAck, connect

WINDOW = 1000
STREAM = "S"
PATIENCE = 60.0


def publish(running: Running, seconds: float) -> Figures:
    """Publish with `WINDOW` events under way, by the client of Bus."""
    return _with_own(running, lambda client: _publish(running, client, seconds))


def publish_nats_py(running: Running, seconds: float) -> Figures:
    """The same by nats-py."""
    return _with_nats_py(running, lambda stream: _publish_nats_py(running, stream, seconds))


def consume(running: Running, seconds: float, *, events: int) -> Figures:
    """Take *events* that are pushed in order, by the client of Bus."""
    fill(running, events)
    return _with_own(running, lambda client: _consume(running, client, events))


def consume_nats_py(running: Running, seconds: float, *, events: int) -> Figures:
    """The same by nats-py."""
    fill(running, events)
    return _with_nats_py(running, lambda stream: _consume_nats_py(running, stream, events))


def _with_own(running: Running, work: Callable[[Client], Awaitable[Figures]]) -> Figures:
    async def main() -> Figures:
        client = await connect(Location.parse(f"nats://127.0.0.1:{running.port}"), connect_seconds=PATIENCE)
        try:
            return await work(client)
        finally:
            await client.close()

    return uvloop.run(main())


def _with_nats_py(running: Running, work: Callable[[Any], Awaitable[Figures]]) -> Figures:
    async def main() -> Figures:
        client = await nats.connect(f"nats://127.0.0.1:{running.port}")
        try:
            return await work(client.jetstream(publish_async_max_pending=WINDOW))
        finally:
            await client.close()

    return uvloop.run(main())


async def _publish(running: Running, client: Client, seconds: float) -> Figures:
    payload, over, done = event(), later(seconds), asyncio.get_running_loop().create_future()
    stored, under_way = 0, WINDOW

    def answered(outcome: PubAck | NatsError) -> None:
        nonlocal stored, under_way
        if isinstance(outcome, NatsError):
            raise outcome
        stored += 1
        if not over():
            client.jetstream.publish(SUBJECT, payload, answered)
            return
        under_way -= 1
        if not under_way:
            done.set_result(None)

    meter = Meter(running.server)
    for _ in range(WINDOW):
        client.jetstream.publish(SUBJECT, payload, answered)
    await asyncio.wait_for(done, PATIENCE)
    return meter.figures(stored)


async def _publish_nats_py(running: Running, stream: Any, seconds: float) -> Figures:
    payload, over, published = event(), later(seconds), 0
    meter = Meter(running.server)
    while not over():
        await stream.publish_async(SUBJECT, payload, wait_stall=PATIENCE)
        published += 1
    await stream.publish_async_completed()
    return meter.figures(published)


async def _consume(running: Running, client: Client, events: int) -> Figures:
    done, left = asyncio.get_running_loop().create_future(), events

    def heard(delivery: Delivery | NatsError) -> None:
        nonlocal left
        if isinstance(delivery, NatsError):
            raise delivery
        left -= 1
        if not left:
            done.set_result(None)

    meter = Meter(running.server)
    consumer = client.jetstream.follow(STREAM, heard, start=1)
    await asyncio.wait_for(done, PATIENCE)
    figures = meter.figures(events)
    await consumer.close()
    return figures


async def _consume_nats_py(running: Running, stream: Any, events: int) -> Figures:
    done, left = asyncio.get_running_loop().create_future(), events

    async def heard(message: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set_result(None)

    meter = Meter(running.server)
    await stream.subscribe(EVERYTHING, cb=heard, ordered_consumer=True)
    await asyncio.wait_for(done, PATIENCE)
    return meter.figures(events)
