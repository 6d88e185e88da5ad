"""The rows of the table: what is measured, and how far Bus should come."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from benchmarks.loads import clients, deliver, exchange, nats_clients, publish
from benchmarks.peers import BUS, POLLING_BUS
from benchmarks.peers.base import VOLATILE_SUBJECT, Peer, Running
from benchmarks.stats import Figures

Measure = Callable[[Running, float], Figures]
Goal = Callable[[float, float], float]
"""From the seconds of one fdatasync and the best peer's figure to the figure to reach."""

SMALLER_IS_BETTER = frozenset({"p50", "p99", "p999"})


def at(value: float) -> Goal:
    """A goal that is a number."""
    return lambda sync, best: value


def ahead(least: float = 0.0) -> Goal:
    """A goal that is the best peer, and at least *least*."""
    return lambda sync, best: max(least, best)


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of work. *goals* are by figure and by whether Bus syncs; *syncs* are the durabilities measured."""

    key: str
    title: str
    measure: Measure
    goals: Mapping[tuple[str, bool], Goal]
    figures: tuple[str, ...] = ("rate",)
    syncs: tuple[bool, ...] = (True, False)
    counted: frozenset[str] = field(default=frozenset({"bus", "nats", "redis"}))
    """The peers that can do it; the others are shown with a dash."""
    bus: Peer = BUS
    """Bus, with the options that it has for this row."""


def both(goal: Goal) -> dict[tuple[str, bool], Goal]:
    """The same goal whether Bus syncs or not."""
    return {("rate", True): goal, ("rate", False): goal}


def table(*, quick: bool = False) -> tuple[Row, ...]:
    """The rows; *quick* makes logs and bursts a tenth as long."""
    many = 100_000 if quick else 1_000_000
    some = 32_000 if quick else 256_000
    burst = 2_000 if quick else 20_000
    pair, alone = frozenset({"bus", "nats"}), frozenset({"nats"})
    return (
        Row(
            "publish-1",
            "publish, 1 publisher that waits for each",
            partial(publish.waiting, connections=1),
            {("rate", True): lambda sync, best: 1 / (sync + 150e-6), ("rate", False): at(7_000)},
        ),
        Row(
            "publish-1-poll",
            "publish, 1 publisher that waits for each, with `--busy-poll 100us`",
            partial(publish.waiting, connections=1),
            {},
            bus=POLLING_BUS,
        ),
        Row(
            "publish-32",
            "publish, 32 connections",
            partial(publish.waiting, connections=32),
            {("rate", True): at(25_000), ("rate", False): at(55_000)},
        ),
        Row(
            "publish-pipelined",
            "publish, pipelined or batched",
            partial(publish.pipelined, events=some),
            {("rate", True): at(300_000)},
        ),
        Row(
            "replay",
            "replay, one subscriber, whole namespace",
            partial(deliver.replay, events=many),
            {("rate", False): at(4_000_000)},
            syncs=(False,),
        ),
        Row(
            "scan",
            "replay through a filter that takes every second event, events scanned",
            partial(deliver.scan, events=many),
            {("rate", False): at(1_000_000)},
            syncs=(False,),
            counted=pair,
        ),
        Row(
            "fan-out-100",
            "fan-out to 100 subscribers, deliveries",
            partial(deliver.fan_out, subscribers=100, events=burst),
            both(at(1_000_000)),
        ),
        Row(
            "fan-out-100-core",
            "the same through core NATS, which stores nothing",
            partial(deliver.fan_out_core, subscribers=100, events=burst),
            {},
            syncs=(False,),
            counted=alone,
        ),
        Row(
            "fan-out-1",
            "fan-out to 1 subscriber, 32 publishers that wait",
            partial(deliver.fan_out_waiting, publishers=32),
            {("rate", True): at(25_000), ("rate", False): at(55_000)},
        ),
        Row(
            "ack-256",
            "delivery with confirmed acknowledgement, window of 256",
            partial(deliver.acknowledged, events=some, window=256),
            both(at(100_000)),
        ),
        Row(
            "ack-1",
            "delivery with confirmed acknowledgement, window of 1",
            partial(deliver.acknowledged, events=some // 32, window=1),
            both(at(6_000)),
        ),
        Row(
            "ack-unconfirmed",
            "JetStream with acknowledgements that nobody confirms",
            partial(deliver.unconfirmed, events=some, window=1000),
            {},
            syncs=(False,),
            counted=alone,
        ),
        Row(
            "request-1",
            "request and reply, 1 client",
            partial(exchange.request_reply, clients=1),
            both(at(4_000)),
            counted=pair,
        ),
        Row(
            "request-1-poll",
            "request and reply, 1 client, with `--busy-poll 100us`",
            partial(exchange.request_reply, clients=1),
            {},
            counted=pair,
            bus=POLLING_BUS,
        ),
        Row(
            "request-32",
            "request and reply, 32 clients",
            partial(exchange.request_reply, clients=32),
            both(at(25_000)),
            counted=pair,
        ),
        Row(
            "request-32-one",
            "request and reply, 32 clients, a service that replies on one connection",
            partial(exchange.request_reply, clients=32, replies=1),
            both(at(25_000)),
            counted=pair,
        ),
        Row(
            "request-32-memory",
            "the same in a namespace in memory, beside core NATS, which stores nothing either",
            partial(exchange.request_reply, clients=32, replies=1, subject=VOLATILE_SUBJECT),
            {("rate", False): at(25_000)},
            syncs=(False,),
            counted=pair,
        ),
        Row(
            "latency",
            f"publish to delivery, at {exchange.PUBLISHES_PER_SECOND} events/s",
            exchange.to_delivery,
            {
                ("p50", True): lambda sync, best: 1000 * (sync + 250e-6),
                ("p50", False): at(0.2),
                ("p99", False): at(1.0),
            },
            figures=("p50", "p99"),
        ),
        Row("client-sequential", "Python client, puts one by one", clients.sequential, both(ahead())),
        Row(
            "client-sequential-poll",
            "Python client, puts one by one, with `--busy-poll 100us`",
            clients.sequential,
            {},
            bus=POLLING_BUS,
        ),
        Row("client-tasks", "Python client, 1,000 tasks at once", clients.concurrent, both(ahead(100_000))),
        Row(
            "client-one-call",
            "Python client, 1,000 events by one call",
            clients.one_call,
            both(ahead()),
            counted=frozenset({"bus", "redis"}),
        ),
        Row(
            "client-subscribe",
            "Python client, events read from the log",
            partial(clients.subscribe, events=many // 10),
            {("rate", False): ahead()},
            syncs=(False,),
        ),
        *(
            Row(key, title, measure, {}, syncs=(False,), counted=alone)
            for key, title, measure in (
                ("nats-publish", "JetStream by the client of Bus, publish, 1,000 at once", nats_clients.publish),
                ("nats-publish-py", "the same by nats-py", nats_clients.publish_nats_py),
                (
                    "nats-consume",
                    "JetStream by the client of Bus, events pushed in order",
                    partial(nats_clients.consume, events=many // 10),
                ),
                ("nats-consume-py", "the same by nats-py", partial(nats_clients.consume_nats_py, events=many // 10)),
            )
        ),
    )
