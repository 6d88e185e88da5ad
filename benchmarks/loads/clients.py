"""The Python clients that people write programs with, each the way its documentation shows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import nats
import redis
import redis.asyncio

from benchmarks.loads.publish import fill
from benchmarks.meter import Meter
from benchmarks.peers import NATS
from benchmarks.peers.base import EVERYTHING, SUBJECT, Running
from benchmarks.peers.bus import Bus
from benchmarks.peers.redis import KEY, PAGE
from benchmarks.stats import Figures
from benchmarks.wires import later
from bus import AsyncClient, Client
from bus.client.core.draft import EventFields

PAYLOAD = {"user": "123", "name": "Alice Wonder", "n": 12345}
BODY = b'{"user":"123","name":"Alice Wonder","n":12345}'
CONCURRENT = 1000
CONNECTIONS = 50
"""Those of the asyncio client for Redis, which has one command on each at a time."""

Put = Callable[[], object]


def sequential(running: Running, seconds: float) -> Figures:
    """A program that publishes one event after the other."""
    if running.peer is NATS:
        return asyncio.run(_with_nats(running, seconds, _nats_sequential))
    if isinstance(running.peer, Bus):
        with Client(f"http://127.0.0.1:{running.port}") as client:
            return _repeat(running, seconds, lambda: client.put(SUBJECT, PAYLOAD))
    with redis.Redis(port=running.port) as server:
        return _repeat(running, seconds, lambda: server.xadd(KEY, {"e": BODY}))


def _repeat(running: Running, seconds: float, put: Put, *, events: int = 1) -> Figures:
    put()
    meter, over, count = Meter(running.server), later(seconds), 0
    while not over():
        put()
        count += events
    return meter.figures(count)


def concurrent(running: Running, seconds: float) -> Figures:
    """A program of 1,000 tasks that publish an event each at once, and again when all are stored."""
    if running.peer is NATS:
        return asyncio.run(_with_nats(running, seconds, _nats_concurrent))
    return asyncio.run((_bus_concurrent if isinstance(running.peer, Bus) else _redis_concurrent)(running, seconds))


def one_call(running: Running, seconds: float) -> Figures:
    """A program that publishes 1,000 events by one call, each stored for itself, and waits for all receipts."""
    if isinstance(running.peer, Bus):
        events: list[EventFields] = [{"subject": SUBJECT, "payload": PAYLOAD}] * CONCURRENT
        with Client(f"http://127.0.0.1:{running.port}") as client:
            return _repeat(running, seconds, lambda: client.put_many(events, atomic=False), events=CONCURRENT)
    with redis.Redis(port=running.port) as server:
        return _repeat(running, seconds, lambda: _redis_pipeline(server), events=CONCURRENT)


async def _redis_concurrent(running: Running, seconds: float) -> Figures:
    pool = redis.asyncio.BlockingConnectionPool(port=running.port, max_connections=CONNECTIONS)
    async with redis.asyncio.Redis(connection_pool=pool) as server:

        async def put() -> None:
            await asyncio.gather(*(server.xadd(KEY, {"e": BODY}) for _ in range(CONCURRENT)))

        return await _repeat_async(running, seconds, put, events=CONCURRENT)


def _redis_pipeline(server: Any) -> None:
    pipeline = server.pipeline(transaction=False)
    for _ in range(CONCURRENT):
        pipeline.xadd(KEY, {"e": BODY})
    pipeline.execute()


async def _bus_concurrent(running: Running, seconds: float) -> Figures:
    async with AsyncClient(f"http://127.0.0.1:{running.port}") as client:

        async def put() -> None:
            await asyncio.gather(*(client.put(SUBJECT, PAYLOAD) for _ in range(CONCURRENT)))

        return await _repeat_async(running, seconds, put, events=CONCURRENT)


async def _repeat_async(
    running: Running, seconds: float, put: Callable[[], Awaitable[object]], *, events: int = 1
) -> Figures:
    await put()
    meter, over, count = Meter(running.server), later(seconds), 0
    while not over():
        await put()
        count += events
    return meter.figures(count)


async def _with_nats(running: Running, seconds: float, work: Callable[..., Awaitable[Figures]]) -> Figures:
    async with AsyncExitStack() as stack:
        client = await nats.connect(f"nats://127.0.0.1:{running.port}")
        stack.push_async_callback(client.close)
        return await work(running, seconds, client.jetstream())


async def _nats_sequential(running: Running, seconds: float, stream: Any) -> Figures:
    return await _repeat_async(running, seconds, lambda: stream.publish(SUBJECT, BODY))


async def _nats_concurrent(running: Running, seconds: float, stream: Any) -> Figures:
    async def put() -> None:
        await asyncio.gather(*(stream.publish(SUBJECT, BODY) for _ in range(CONCURRENT)))

    return await _repeat_async(running, seconds, put, events=CONCURRENT)


def subscribe(running: Running, seconds: float, *, events: int) -> Figures:
    """A program that reads *events* from the start, each as an object."""
    fill(running, events)
    if running.peer is NATS:

        async def read(running: Running, _: float, stream: Any) -> Figures:
            return await _nats_subscribe(running, stream, events)

        return asyncio.run(_with_nats(running, seconds, read))
    return _bus_subscribe(running, events) if isinstance(running.peer, Bus) else _redis_subscribe(running, events)


def _bus_subscribe(running: Running, events: int) -> Figures:
    with Client(f"http://127.0.0.1:{running.port}") as client:
        meter = Meter(running.server)
        read = sum(1 for event in client.get(EVERYTHING, start="oldest", limit=events) if event.payload)
        return meter.figures(read)


async def _nats_subscribe(running: Running, stream: Any, events: int) -> Figures:
    subscription = await stream.subscribe(EVERYTHING, ordered_consumer=True)
    meter = Meter(running.server)
    for _ in range(events):
        await subscription.next_msg(timeout=10)
    return meter.figures(events)


def _redis_subscribe(running: Running, events: int) -> Figures:
    with redis.Redis(port=running.port) as server:
        meter, last, read = Meter(running.server), "0-0", 0
        while read < events:
            ((_, page),) = server.xread({KEY: last}, count=PAGE)
            last = page[-1][0]
            read += len(page)
        return meter.figures(read)
