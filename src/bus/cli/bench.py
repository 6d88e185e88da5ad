"""``bus bench``: how much a running server takes, for those who size a machine."""

from __future__ import annotations

import asyncio
import math
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from ssl import SSLContext

import click
import msgspec
import uvloop

from bus.cli.bench_connections import Asker, Gauge, Listener, LoadConnection, payload, reach
from bus.cli.console import emit, progress, say
from bus.cli.option_types import DurationType
from bus.cli.server_options import server_options
from bus.client import AsyncClient
from bus.client.aio.delivery import AsyncDelivery
from bus.client.aio.stream import AsyncStream
from bus.client.core.request import Requests
from bus.errors import BusError
from bus.subject import parse_subject
from bus.transfer.server_address import ServerAddress

SHOW_SECONDS = 0.1
"""Seconds between two looks at how far it is."""

SERVICE_SECONDS = 5.0

BAR = 40
"""Characters of the longest bar."""


class BenchResult(msgspec.Struct):
    """What was measured."""

    work: str
    connections: int
    batch: int
    size: int
    seconds: float
    events: int
    events_per_second: float
    latency_ms: dict[str, float]


@dataclass(frozen=True, slots=True)
class BenchPlan:
    """What to do to which server, over *tls* if there is any."""

    server: ServerAddress
    tls: SSLContext | None
    subject: str
    connections: int
    size: int
    batch: int

    @property
    def requests(self) -> Requests:
        return self.server.requests()


@click.command(
    epilog="""\b
Examples:
  bus bench publish --subject app.bench
  bus bench publish --subject app.bench --batch 100 --size 1000
  bus bench subscribe --subject app.bench --connections 100
  bus bench request --subject app.bench
"""
)
@click.argument("work", type=click.Choice(["publish", "subscribe", "request"]))
@click.option("--subject", required=True, metavar="SUBJECT", help="Subject to publish to: the events are stored.")
@click.option("--connections", type=click.IntRange(1, 10_000), default=32, metavar="N", help="Connections.  [32]")
@click.option("--seconds", type=DurationType(), default="5s", metavar="DURATION", help="How long to measure.  [5s]")
@click.option("--events", type=click.IntRange(1), metavar="N", help="End after so many events, if that is sooner.")
@click.option("--size", type=click.IntRange(0), default=100, metavar="BYTES", help="Size of a payload.  [100]")
@click.option("--batch", type=click.IntRange(1, 10_000), default=1, metavar="N", help="Events in a request.  [1]")
@server_options
def bench(
    *,
    work: str,
    server: ServerAddress,
    seconds: float,
    events: int | None,
    subject: str,
    connections: int,
    size: int,
    batch: int,
) -> None:
    """Put load on a running server and measure it.

    \b
    publish    each connection publishes and waits for the answer; latency: request to answer
    subscribe  one connection publishes, all others receive; events: deliveries; latency: published to received
    request    each connection asks and waits for the reply of a service in this process

    The events are stored like any others: choose a subject whose namespace is for trying out. This command is one
    process and needs a processor of its own; if that is busy all the time, the server could do more.
    """
    parse_subject(subject)
    plan = BenchPlan(server, server.tls.context(server.endpoint), subject, connections, size, batch)
    gauge, took = uvloop.run(_measure(plan, _WORK[work], seconds, events or math.inf))
    _show_result(_result(work, plan, gauge, took), gauge.latencies)


# -- measuring

BeginLoad = Callable[[BenchPlan, Gauge, AsyncExitStack], Awaitable[None]]


async def _measure(plan: BenchPlan, begin: BeginLoad, seconds: float, most: float) -> tuple[Gauge, float]:
    gauge = Gauge()
    async with AsyncExitStack() as stack:
        await begin(plan, gauge, stack)
        showing = asyncio.create_task(_show(gauge))
        try:
            return gauge, await gauge.run(seconds, most=most)
        finally:
            showing.cancel()


async def _show(gauge: Gauge) -> None:
    with progress("measuring", total=None, unit="events") as show:
        while True:
            await asyncio.sleep(SHOW_SECONDS)
            show(gauge.events)


async def _connect(plan: BenchPlan, loads: Sequence[LoadConnection], stack: AsyncExitStack) -> None:
    for load in loads:
        await load.connect(plan.server.endpoint, plan.tls)
        stack.callback(load.transport.abort)


def _asking(plan: BenchPlan) -> Callable[[], bytes]:
    """What makes the bytes of the next request to publish."""
    requests = plan.requests

    def ask() -> bytes:
        line = b'{"subject":"%b","payload":%b}' % (plan.subject.encode(), payload(plan.size))
        return requests.publish(line) if plan.batch == 1 else requests.publish_lines([line] * plan.batch)

    return ask


async def _publish(plan: BenchPlan, gauge: Gauge, stack: AsyncExitStack) -> None:
    ask = _asking(plan)
    await _connect(plan, [Asker(gauge, ask, events=plan.batch) for _ in range(plan.connections)], stack)


async def _subscribe(plan: BenchPlan, gauge: Gauge, stack: AsyncExitStack) -> None:
    request = plan.requests.subscribe([("subject", plan.subject)])
    listeners = [Listener(gauge, request) for _ in range(plan.connections)]
    await _connect(plan, listeners, stack)
    for listener in listeners:
        await gauge.until(listener.subscribed)
    await _connect(plan, [Asker(gauge, _asking(plan), events=0)], stack)


async def _request(plan: BenchPlan, gauge: Gauge, stack: AsyncExitStack) -> None:
    await reach(plan.server.endpoint, plan.tls)
    client = await stack.enter_async_context(AsyncClient(plan.server.url, token=plan.server.token, tls=plan.tls))
    wanted = client.get(plan.subject, ack="manual", prefetch=plan.connections)
    serving = asyncio.create_task(_serve(await stack.enter_async_context(wanted)))
    stack.callback(serving.cancel)
    line = b'{"subject":"%b","payload":%b}' % (plan.subject.encode(), payload(plan.size))
    request = plan.requests.publish_and_wait(line, wait="reply", timeout=SERVICE_SECONDS)
    await _connect(plan, [Asker(gauge, lambda: request) for _ in range(plan.connections)], stack)


async def _serve(events: AsyncStream) -> None:
    """The service: replies to every request, many at once."""
    replies: set[asyncio.Task[None]] = set()
    async for event in events:
        reply = asyncio.create_task(_reply(event))
        replies.add(reply)
        reply.add_done_callback(replies.discard)


async def _reply(event: AsyncDelivery) -> None:
    with suppress(BusError):  # the requester says what went wrong
        await event.reply(None)


_WORK: dict[str, BeginLoad] = {"publish": _publish, "subscribe": _subscribe, "request": _request}


# -- telling


_SHARES = {"p50": 50, "p90": 90, "p99": 99, "p99.9": 99.9, "max": 100}


def _result(work: str, plan: BenchPlan, gauge: Gauge, seconds: float) -> BenchResult:
    latencies = sorted(gauge.latencies)
    return BenchResult(
        work=work,
        connections=plan.connections,
        batch=plan.batch,
        size=plan.size,
        seconds=round(seconds, 3),
        events=gauge.events,
        events_per_second=round(gauge.events / seconds),
        latency_ms={name: _percentile(latencies, share) for name, share in _SHARES.items()},
    )


def _percentile(latencies: Sequence[float], share: float) -> float:
    """The latency in milliseconds that *share* percent don't exceed; 0 if there is none."""
    if not latencies:
        return 0.0
    return round(1000 * latencies[min(int(len(latencies) * share / 100), len(latencies) - 1)], 3)


def _show_result(result: BenchResult, latencies: Iterable[float]) -> None:
    if not sys.stdout.isatty():
        emit(msgspec.json.encode(result))
        return
    say(f"{result.events:,} events in {result.seconds:g}s: {result.events_per_second:,.0f}/s")
    say("  ".join(f"{name} {value:g} ms" for name, value in result.latency_ms.items()))
    for line in histogram(latencies):
        say(line)


def histogram(latencies: Iterable[float]) -> list[str]:
    """How latencies in seconds are spread, a line for each doubling: up to how long, what share, a bar."""
    counts = Counter(max(math.ceil(math.log2(max(latency, 1e-6) * 1e6)), 0) for latency in latencies)
    if not counts:
        return []
    total, most = counts.total(), max(counts.values())
    return [
        f"{_duration(2**power):>10}  {counts[power] / total:>6.1%}  {'█' * round(BAR * counts[power] / most)}".rstrip()
        for power in range(min(counts), max(counts) + 1)
    ]


def _duration(microseconds: int) -> str:
    return f"{microseconds} µs" if microseconds < 1000 else f"{microseconds / 1000:.3g} ms"
