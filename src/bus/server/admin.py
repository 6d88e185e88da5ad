"""What is around the events: health, readiness, metrics, what there is, and the API's description."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from bus.engine.base import Engine
from bus.errors import UnavailableError
from bus.server.consumers import ConsumerRoutes
from bus.server.exchange import Exchange, Route
from bus.server.openapi import describe
from bus.server.request import Request
from bus.server.response import format_headers
from bus.wire import JSON, TEXT

_JSON = format_headers({"Content-Type": JSON})
_TEXT = format_headers({"Content-Type": TEXT})
_METRICS = format_headers({"Content-Type": CONTENT_TYPE_LATEST})


class Admin:
    """The paths other than ``/``."""

    def __init__(self, engine: Engine, connections: Sized, streams: Sized) -> None:
        self._engine = engine
        self._registry = CollectorRegistry()
        self._registry.register(_Metrics(engine, connections, streams))
        self._paths: dict[str, dict[bytes, Route]] = {
            "/healthz": {b"GET": self._health},
            "/readyz": {b"GET": self._ready},
            "/metrics": {b"GET": self._metrics},
            "/openapi.json": {b"GET": self._openapi},
            "/v1/namespaces": {b"GET": self._namespaces},
        }
        self._consumers = ConsumerRoutes(engine.consumers)

    def routes(self, path: str) -> Mapping[bytes, Route] | None:
        """What can be done at *path*, by method; None if there is no such path."""
        return self._paths.get(path) or self._consumers.routes(path)

    def _health(self, request: Request, exchange: Exchange) -> None:
        exchange.respond(200, _TEXT, b"alive\n")

    def _ready(self, request: Request, exchange: Exchange) -> None:
        failure = self._engine.failure
        if failure:
            raise UnavailableError(f"not ready: {failure.message}")
        exchange.respond(200, _TEXT, b"ready\n")

    def _metrics(self, request: Request, exchange: Exchange) -> None:
        exchange.respond(200, _METRICS, generate_latest(self._registry))

    def _openapi(self, request: Request, exchange: Exchange) -> None:
        exchange.respond(200, _JSON, describe())

    def _namespaces(self, request: Request, exchange: Exchange) -> None:
        exchange.respond(200, _JSON, msgspec.json.encode({"namespaces": self._engine.stats()["namespaces"]}))


_PER_NAMESPACE: tuple[tuple[str, str, str, type[Metric]], ...] = (
    ("published", "bus_published_events", "Events stored since the start.", CounterMetricFamily),
    ("delivered_bytes", "bus_delivered_live_bytes", "Bytes handed to live subscribers.", CounterMetricFamily),
    ("events", "bus_log_events", "Events in the log.", GaugeMetricFamily),
    ("bytes", "bus_log_bytes", "Bytes of the log on disk.", GaugeMetricFamily),
    ("segments", "bus_log_segments", "Segments of the log.", GaugeMetricFamily),
    ("next_index", "bus_log_next_index", "Index the next event gets.", GaugeMetricFamily),
    ("subscribers", "bus_subscribers", "Streams being served.", GaugeMetricFamily),
    ("keys", "bus_duplicate_keys", "Keys in the duplicate window.", GaugeMetricFamily),
    ("writable", "bus_writable", "1 while the namespace takes events.", GaugeMetricFamily),
)


_PER_CONSUMER = (
    ("behind", "bus_consumer_behind_events", "Events of the namespace the consumer has yet to read."),
    ("pending", "bus_consumer_pending_events", "Events delivered and not settled."),
    ("dead", "bus_consumer_dead_events", "Events given up."),
    ("connections", "bus_consumer_connections", "Connections of the consumer."),
)


class _Metrics(Collector):
    """The engine's counts in the Prometheus format."""

    def __init__(self, engine: Engine, connections: Sized, streams: Sized) -> None:
        self._engine = engine
        self._connections = connections
        self._streams = streams

    def collect(self) -> Iterable[Metric]:
        stats = self._engine.stats()
        yield _gauge("bus_connections", "Connections held.", len(self._connections))
        yield _gauge("bus_streams", "Streams held.", len(self._streams))
        yield _gauge("bus_inboxes", "Inboxes in memory.", stats["inboxes"])
        for key, name, help, family in _PER_NAMESPACE:
            metric: Any = family(name, help, labels=["namespace"])  # type: ignore[call-arg]
            for namespace in stats["namespaces"]:
                metric.add_metric([namespace["namespace"]], float(namespace[key]))
            yield metric
        yield from _consumer_metrics(stats["consumers"])


def _consumer_metrics(consumers: Iterable[Mapping[str, Any]]) -> Iterable[Metric]:
    for key, name, help in _PER_CONSUMER:
        metric = GaugeMetricFamily(name, help, labels=["consumer", "namespace"])
        for consumer in consumers:
            metric.add_metric([consumer["name"], consumer["namespace"]], float(consumer[key]))
        yield metric


def _gauge(name: str, help: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help, value=value)
