"""The table of routes: which request goes where, and what it needs. There are no others."""

from __future__ import annotations

from bus.server.api.about import AboutRoute
from bus.server.api.acknowledge import USUAL
from bus.server.api.consumers import ConsumerRoutes
from bus.server.api.dashboard import DashboardRoutes
from bus.server.api.events import EventRoutes
from bus.server.api.metrics import MetricsRoute
from bus.server.api.monitoring import MonitoringRoutes
from bus.server.api.namespaces import NamespaceRoutes
from bus.server.api.route import Need, Route, RouteTable, options_route
from bus.server.api.schedules import ScheduleRoutes
from bus.server.api.sessions import SessionRoutes
from bus.server.api.stored_events import StoredEventRoutes
from bus.server.api.subscribe import need_to_subscribe
from bus.server.api.watch import WatchRoute
from bus.server.http.request_line import METHODS

_PUBLISH = ("wait", "count", "timeout", "delay", "expect", "expect_subject")
_SUBSCRIBE = (
    "start", "ack", "redelivery", "redelivery_count", "prefetch", "consumer", "order", "limit", "follow",
    "expired", "last_event_id", "worker", "ticket",
)  # fmt: skip
_ACKNOWLEDGE = ("consumer_id", "action", "delay", "reason")

GET, HEAD, POST, PUT, DELETE = b"GET", b"HEAD", b"POST", b"PUT", b"DELETE"


def all_routes(
    events: EventRoutes,
    monitoring: MonitoringRoutes,
    metrics: MetricsRoute,
    namespaces: NamespaceRoutes,
    consumers: ConsumerRoutes,
    schedules: ScheduleRoutes,
    stored: StoredEventRoutes,
    sessions: SessionRoutes,
    about: AboutRoute,
    watch: WatchRoute,
    dashboard: DashboardRoutes,
) -> RouteTable:
    """Every way into the server."""
    consumer, namespace = "/v1/consumers/{name}", "/v1/namespaces/{name}"
    why, pending, connections, position, dead = (
        f"{consumer}/{what}" for what in ("why", "pending", "connections", "position", "dead")
    )
    return RouteTable((
        Route(POST, "/", Need.PUBLISH, events.publish, _PUBLISH, take_lines=events.take_lines),
        Route(
            GET, "/", Need.SUBSCRIBE, events.subscribe, _SUBSCRIBE, ("subject",),
            needs_by_query=need_to_subscribe, takes_tickets=True,
            for_people=Route(GET, "/", Need.NOTHING, dashboard.enter),
        ),
        Route(PUT, "/", Need.ACKNOWLEDGE, events.acknowledge, _ACKNOWLEDGE, ("event_id",), USUAL),
        Route(HEAD, "/", Need.NOTHING, events.probe, _SUBSCRIBE, ("subject",)),
        Route(GET, "/healthz", Need.NOTHING, monitoring.health, once=None, probe=True),
        Route(GET, "/readyz", Need.NOTHING, monitoring.ready, once=None, probe=True),
        Route(GET, "/metrics", Need.METRICS, metrics.get, once=None, probe=True),
        Route(GET, "/openapi.json", Need.NOTHING, monitoring.openapi),
        Route(GET, "/v1/server", Need.WATCH, about.get),
        Route(GET, "/v1/watch", Need.WATCH, watch.get, ("interval", "follow", "ticket"), takes_tickets=True),
        Route(GET, "/v1/namespaces", Need.INSPECT, namespaces.show_all),
        Route(GET, namespace, Need.INSPECT, namespaces.show),
        Route(PUT, namespace, Need.MANAGE, namespaces.change),
        Route(DELETE, namespace, Need.MANAGE, namespaces.delete),
        Route(GET, "/v1/consumers", Need.INSPECT, consumers.show_all),
        Route(GET, consumer, Need.INSPECT, consumers.show),
        Route(PUT, consumer, Need.MANAGE, consumers.change),
        Route(DELETE, consumer, Need.MANAGE, consumers.delete),
        Route(GET, why, Need.INSPECT, consumers.why),
        Route(GET, pending, Need.INSPECT, consumers.pending, ("limit",)),
        Route(GET, connections, Need.INSPECT, consumers.connections),
        Route(POST, position, Need.MANAGE, consumers.move, ("dry_run",)),
        Route(GET, dead, Need.INSPECT, consumers.dead),
        Route(POST, dead, Need.MANAGE, consumers.redrive, lists=("index",)),
        Route(DELETE, dead, Need.MANAGE, consumers.drop, lists=("index",)),
        Route(GET, "/v1/schedules", Need.INSPECT, schedules.show_all, ("after", "limit"), ("subject",)),
        Route(GET, "/v1/schedules/{id}", Need.INSPECT, schedules.show),
        Route(PUT, "/v1/schedules/{id}", Need.MANAGE, schedules.set),
        Route(DELETE, "/v1/schedules/{id}", Need.MANAGE, schedules.cancel),
        Route(GET, "/v1/events", Need.SUBSCRIBE, stored.show_page, ("before", "limit"), ("subject",)),
        Route(GET, "/v1/events/{id}", Need.SUBSCRIBE, stored.show, ("namespace",)),
        Route(DELETE, "/v1/events", Need.MANAGE, stored.delete_matching, ("before",), ("subject",)),
        Route(DELETE, "/v1/events/{id}", Need.MANAGE, stored.delete_one, ("namespace",)),
        Route(GET, "/v1/subjects", Need.SUBSCRIBE, stored.subjects, ("after", "limit"), ("match",)),
        Route(POST, "/v1/session", Need.SIGN_IN, sessions.begin),
        Route(DELETE, "/v1/session", Need.SIGN_OUT, sessions.end),
        Route(POST, "/v1/tickets", Need.SIGN_IN, sessions.issue_ticket),
        Route(GET, "/ui", Need.NOTHING, dashboard.enter),
        Route(GET, "/ui/", Need.NOTHING, dashboard.show),
        Route(GET, "/ui/{file}", Need.NOTHING, dashboard.show),
        Route(GET, "/ui/{folder}/{file}", Need.NOTHING, dashboard.show),
        options_route("*", METHODS),
    ))  # fmt: skip
