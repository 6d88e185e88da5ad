"""``/metrics``: the engine's counts in the Prometheus format.

They are gathered on the loop, consumers in pieces, and written down by a thread: that takes a tenth of a second for
some thousand consumers, and nobody else should wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from bus.consumer import ConsumerDescription
from bus.engine.administration import EngineCounts, NamespaceStats
from bus.engine.base import Engine
from bus.server.api.later import answer_later
from bus.server.http.memory_limits import Memory
from bus.server.http.request import Request
from bus.server.http.responder import Responder
from bus.server.http.response import format_headers

_METRICS = format_headers({"Content-Type": CONTENT_TYPE_LATEST})

Family = CounterMetricFamily | GaugeMetricFamily

_PER_NAMESPACE: tuple[tuple[str, str, str, type[Family]], ...] = (
    ("published", "bus_published_events", "Events stored since the start.", CounterMetricFamily),
    ("delivered_bytes", "bus_delivered_live_bytes", "Bytes handed to live subscribers.", CounterMetricFamily),
    ("events", "bus_log_events", "Events in the log.", GaugeMetricFamily),
    ("bytes", "bus_log_bytes", "Bytes of the log on disk.", GaugeMetricFamily),
    ("quota", "bus_log_quota_bytes", "Bytes the log may have, where that is limited.", GaugeMetricFamily),
    ("segments", "bus_log_segments", "Segments of the log.", GaugeMetricFamily),
    ("next_index", "bus_log_next_index", "Index the next event gets.", GaugeMetricFamily),
    ("subscribers", "bus_subscribers", "Streams being served.", GaugeMetricFamily),
    ("keys", "bus_duplicate_keys", "Keys in the duplicate window.", GaugeMetricFamily),
    ("writable", "bus_writable", "1 while the namespace takes events.", GaugeMetricFamily),
)


_PER_CONSUMER = (
    ("behind", "bus_consumer_behind_events", "Events that match the consumer's patterns and that it has yet to read."),
    ("pending", "bus_consumer_pending_events", "Events delivered and not settled."),
    ("dead", "bus_consumer_dead_events", "Events given up."),
    ("connections", "bus_consumer_connections", "Connections of the consumer."),
)


class MetricsRoute:
    """Answers ``GET /metrics``."""

    def __init__(self, engine: Engine, connections: Sized, streams: Sized, incoming: Memory) -> None:
        self._engine = engine
        self._incoming = incoming
        self._connections = connections
        self._streams = streams

    def get(self, request: Request, responder: Responder) -> None:
        """Answer once all consumers are described, one answer at a time for each connection."""
        responder.await_turn(lambda: answer_later(responder, self._respond(responder)))

    async def _respond(self, responder: Responder) -> None:
        consumers = await self._engine.consumers.describe()
        counts = _Counts(
            await self._engine.namespaces(), await self._engine.counts(), consumers,
            len(self._connections), len(self._streams), self._incoming.used,
        )  # fmt: skip
        written = await asyncio.get_running_loop().run_in_executor(None, counts.write)
        responder.respond(200, _METRICS, written)


@dataclass(frozen=True, slots=True, eq=False)
class _Counts(Collector):
    """What there is to tell at one moment."""

    namespaces: Sequence[NamespaceStats]
    engine: EngineCounts
    consumers: Sequence[ConsumerDescription]
    connections: int
    streams: int
    incoming: int

    def write(self) -> bytes:
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterable[Metric]:
        yield _gauge("bus_connections", "Connections held.", self.connections)
        yield _gauge("bus_streams", "Streams held.", self.streams)
        yield _gauge("bus_body_memory_bytes", "Bodies coming in, and receipts not taken.", self.incoming)
        yield _gauge("bus_inbox_bytes", "Replies in memory.", self.engine.inbox_bytes)
        yield _gauge("bus_inboxes", "Inboxes in memory.", self.engine.inboxes)
        for key, name, help, family in _PER_NAMESPACE:
            metric = family(name, help, labels=["namespace"])
            for found in self.namespaces:
                if (value := getattr(found, key)) is not None:
                    metric.add_metric([found.namespace], float(value))
            yield metric
        yield from _consumer_metrics(self.consumers)


def _consumer_metrics(consumers: Iterable[ConsumerDescription]) -> Iterable[Metric]:
    for key, name, help in _PER_CONSUMER:
        metric = GaugeMetricFamily(name, help, labels=["consumer", "namespace"])
        for consumer in consumers:
            metric.add_metric([consumer.name, consumer.namespace], float(getattr(consumer, key)))
        yield metric


def _gauge(name: str, help: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help, value=value)
