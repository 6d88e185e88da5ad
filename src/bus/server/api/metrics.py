"""``/metrics``: the engine's counts in the Prometheus format.

They are gathered on the loop, consumers in pieces, and written down by a thread: that takes a tenth of a second for
some thousand consumers, and nobody else should wait for it.
"""

from __future__ import annotations

import asyncio
import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from bus.build import COMPILED
from bus.consumer import ConsumerDescription
from bus.engine.administration import Latencies
from bus.engine.base import Engine
from bus.latency import Latency
from bus.server.api.counting import Counting, Counts
from bus.server.api.later import answer_later
from bus.server.http.request import Request
from bus.server.http.responder import Responder
from bus.server.http.response import format_headers

_METRICS = format_headers({"Content-Type": CONTENT_TYPE_LATEST})

Family = CounterMetricFamily | GaugeMetricFamily

_PER_NAMESPACE: tuple[tuple[str, str, str, type[Family]], ...] = (
    ("published", "bus_published_events", "Events stored since the start.", CounterMetricFamily),
    ("delivered", "bus_delivered_events", "Events handed to subscribers since the start.", CounterMetricFamily),
    ("delivered_bytes", "bus_delivered_live_bytes", "Bytes handed to live subscribers.", CounterMetricFamily),
    ("events", "bus_log_events", "Events in the log.", GaugeMetricFamily),
    ("bytes", "bus_log_bytes", "Bytes of the log on disk.", GaugeMetricFamily),
    ("quota", "bus_log_quota_bytes", "Bytes the log may have, where that is limited.", GaugeMetricFamily),
    ("compactions", "bus_compactions", "Compactions since the start.", CounterMetricFamily),
    ("compacted_bytes", "bus_compacted_bytes", "Bytes that compaction has freed.", CounterMetricFamily),
    ("segments", "bus_log_segments", "Segments of the log.", GaugeMetricFamily),
    ("next_index", "bus_log_next_index", "Index the next event gets.", GaugeMetricFamily),
    ("subscribers", "bus_subscribers", "Streams being served.", GaugeMetricFamily),
    ("keys", "bus_duplicate_keys", "Keys in the duplicate window.", GaugeMetricFamily),
    ("writable", "bus_writable", "1 while the namespace takes events.", GaugeMetricFamily),
)


_PER_CONSUMER: tuple[tuple[str, str, str, type[Family]], ...] = (
    (
        "behind",
        "bus_consumer_behind_events",
        "Events that match the consumer's patterns and that it has yet to read.",
        GaugeMetricFamily,
    ),
    ("pending", "bus_consumer_pending_events", "Events delivered and not settled.", GaugeMetricFamily),
    ("in_flight", "bus_consumer_in_flight_events", "Events that are with a connection.", GaugeMetricFamily),
    ("dead", "bus_consumer_dead_events", "Events given up.", GaugeMetricFamily),
    ("connections", "bus_consumer_connections", "Connections of the consumer.", GaugeMetricFamily),
    ("delivered", "bus_consumer_delivered_events", "Deliveries since the start.", CounterMetricFamily),
    ("redelivered", "bus_consumer_redelivered_events", "Deliveries of events that had come back.", CounterMetricFamily),
)

_LATENCIES = (
    ("publish", "bus_publish_seconds", "From when events were taken until their publishers were answered, by batch."),
    ("sync", "bus_sync_seconds", "Syncs of the log."),
    ("delivery", "bus_delivery_seconds", "From when events were taken until live subscribers had them, by batch."),
    ("ack", "bus_ack_seconds", "From a delivery to its acknowledgement."),
)


class MetricsRoute:
    """Answers ``GET /metrics``."""

    def __init__(self, engine: Engine, counting: Counting, refusals: Counter[str], version: str) -> None:
        self._engine = engine
        self._counting = counting
        self._refusals = refusals
        self._version = version

    def get(self, request: Request, responder: Responder) -> None:
        """Answer once all consumers are described, one answer at a time for each connection."""
        responder.await_turn(lambda: answer_later(responder, self._respond(responder)))

    async def _respond(self, responder: Responder) -> None:
        counts = _Collected(
            await self._counting.count(), await self._engine.latencies(), dict(self._refusals), self._version
        )
        written = await asyncio.get_running_loop().run_in_executor(None, counts.write)
        responder.respond(200, _METRICS, written)


@dataclass(frozen=True, slots=True, eq=False)
class _Collected(Collector):
    """What there is to tell at one moment."""

    counts: Counts
    latencies: Sequence[Latencies]
    refusals: Mapping[str, int]
    version: str

    def write(self) -> bytes:
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterable[Metric]:
        yield _build(self.version)
        server = self.counts.server
        yield _gauge("bus_connections", "Connections held.", server.connections)
        yield _gauge("bus_streams", "Streams held.", server.streams)
        yield _gauge("bus_body_memory_bytes", "Bodies coming in, and receipts not taken.", server.body_memory)
        yield _gauge("bus_inbox_bytes", "Replies in memory.", server.inbox_bytes)
        yield _gauge("bus_inboxes", "Inboxes in memory.", server.inboxes)
        for key, name, help, family in _PER_NAMESPACE:
            metric = family(name, help, labels=["namespace"])
            for found in self.counts.namespaces.values():
                if (value := getattr(found, key)) is not None:
                    metric.add_metric([found.namespace], float(value))
            yield metric
        yield from _consumer_metrics(self.counts.consumers.values())
        yield from _histograms(self.latencies)
        refused = CounterMetricFamily("bus_refusals", "Requests, lines and streams that were refused.", labels=["code"])
        for code, count in self.refusals.items():
            refused.add_metric([code], count)
        yield refused


def _histograms(latencies: Iterable[Latencies]) -> Iterable[Metric]:
    for key, name, help in _LATENCIES:
        metric = HistogramMetricFamily(name, help, labels=["namespace"])
        for found in latencies:
            latency: Latency = getattr(found, key)
            metric.add_metric([found.namespace], buckets=latency.buckets(), sum_value=latency.total)
        yield metric


def _build(version: str) -> Metric:
    build = {"version": version, "python": platform.python_version(), "compiled": "yes" if COMPILED else "no"}
    metric = GaugeMetricFamily("bus_build_info", "What the server is.", labels=list(build))
    metric.add_metric(list(build.values()), 1)
    return metric


def _consumer_metrics(consumers: Iterable[ConsumerDescription]) -> Iterable[Metric]:
    for key, name, help, family in _PER_CONSUMER:
        metric = family(name, help, labels=["consumer", "namespace"])
        for consumer in consumers:
            metric.add_metric([consumer.name, consumer.namespace], float(getattr(consumer, key)))
        yield metric


def _gauge(name: str, help: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help, value=value)
