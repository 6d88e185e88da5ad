"""The table of routes is complete, and nothing gets around the gate."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
import pytest

from bus.server.api.openapi import read_openapi
from bus.server.api.route import Need, Route
from bus.server.http.request import Request, read_head
from bus.wire import NDJSON
from tests.conftest import StartServer
from tests.server.support import draft, post, refusal, with_mistakes
from tests.support import ServerProcess, request

FOLLOWING = ("HEAD", "OPTIONS")
"""Methods that are answered wherever others are, and that the description doesn't repeat for each path."""


def _described() -> Iterator[tuple[str, str, set[str]]]:
    for path, methods in msgspec.json.decode(read_openapi())["paths"].items():
        for method, about in methods.items():
            if method != "parameters":
                known = about.get("parameters", [])
                yield method.upper(), path, {one["name"] for one in known if one["in"] == "query"}


def test_the_table_and_the_description_have_the_same_routes(routes: dict[tuple[str, str], Route]) -> None:
    described = {(method, path) for method, path, _ in _described()}
    assert described <= routes.keys()
    others = {(method, path) for method, path in routes if method not in FOLLOWING} - described
    assert others == {("GET", "/openapi.json")}, "the description is at an address that it doesn't describe"
    for path in {path for _, path in described}:
        assert ("OPTIONS", path) in routes


def test_a_route_knows_the_parameters_of_its_description(routes: dict[tuple[str, str], Route]) -> None:
    for method, path, names in _described():
        route = routes[method, path]
        if route.once is not None and method != "HEAD":
            assert {*route.once, *route.lists} == names, (method, path)


def test_what_each_route_needs(routes: dict[tuple[str, str], Route]) -> None:
    dead = "/v1/consumers/{name}/dead"
    assert {place: route.needs for place, route in routes.items() if place[0] not in FOLLOWING} == {
        ("POST", "/"): Need.PUBLISH,
        ("GET", "/"): Need.SUBSCRIBE,
        ("PUT", "/"): Need.ACKNOWLEDGE,
        ("GET", "/healthz"): Need.NOTHING,
        ("GET", "/readyz"): Need.NOTHING,
        ("GET", "/openapi.json"): Need.NOTHING,
        ("GET", "/ui"): Need.NOTHING,
        ("GET", "/ui/"): Need.NOTHING,
        ("GET", "/ui/{file}"): Need.NOTHING,
        ("GET", "/ui/{folder}/{file}"): Need.NOTHING,
        ("GET", "/metrics"): Need.METRICS,
        ("GET", "/v1/server"): Need.WATCH,
        ("GET", "/v1/watch"): Need.WATCH,
        ("GET", "/v1/namespaces"): Need.INSPECT,
        ("GET", "/v1/consumers"): Need.INSPECT,
        ("GET", "/v1/consumers/{name}"): Need.INSPECT,
        ("GET", "/v1/namespaces/{name}"): Need.INSPECT,
        ("PUT", "/v1/namespaces/{name}"): Need.MANAGE,
        ("DELETE", "/v1/namespaces/{name}"): Need.MANAGE,
        ("PUT", "/v1/consumers/{name}"): Need.MANAGE,
        ("DELETE", "/v1/consumers/{name}"): Need.MANAGE,
        ("GET", "/v1/consumers/{name}/why"): Need.INSPECT,
        ("GET", "/v1/consumers/{name}/pending"): Need.INSPECT,
        ("GET", "/v1/consumers/{name}/connections"): Need.INSPECT,
        ("POST", "/v1/consumers/{name}/position"): Need.MANAGE,
        ("GET", dead): Need.INSPECT,
        ("POST", dead): Need.MANAGE,
        ("DELETE", dead): Need.MANAGE,
        ("POST", "/v1/session"): Need.SIGN_IN,
        ("DELETE", "/v1/session"): Need.SIGN_OUT,
        ("POST", "/v1/tickets"): Need.SIGN_IN,
        ("GET", "/v1/events"): Need.SUBSCRIBE,
        ("GET", "/v1/events/{id}"): Need.SUBSCRIBE,
        ("DELETE", "/v1/events"): Need.MANAGE,
        ("DELETE", "/v1/events/{id}"): Need.MANAGE,
        ("GET", "/v1/subjects"): Need.SUBSCRIBE,
        ("GET", "/v1/schedules"): Need.INSPECT,
        ("GET", "/v1/schedules/{id}"): Need.INSPECT,
        ("PUT", "/v1/schedules/{id}"): Need.MANAGE,
        ("DELETE", "/v1/schedules/{id}"): Need.MANAGE,
    }
    for (method, path), route in routes.items():
        if method == "OPTIONS" or (method, path) == ("HEAD", "/"):
            assert route.needs is Need.NOTHING
        elif method == "HEAD":
            assert route.needs is routes["GET", path].needs


@pytest.mark.parametrize(
    ("query", "need"),
    [
        ("subject=app.a", Need.SUBSCRIBE),
        ("subject=app.a&ack=none&consumer=", Need.SUBSCRIBE),
        ("subject=app.a&ack=manual", Need.CONSUME),
        ("subject=app.a&consumer=c", Need.CONSUME),
    ],
)
def test_taking_part_in_a_consumer_needs_more(routes: dict[tuple[str, str], Route], query: str, need: Need) -> None:
    asked = Request(read_head(b"GET /?%b HTTP/1.1\r\nHost: bus\r\n\r\n" % query.encode()))
    assert routes["GET", "/"].need_of(asked) is need


def test_what_a_method_changes_is_what_its_need_says(routes: dict[tuple[str, str], Route]) -> None:
    for (method, path), route in routes.items():
        assert route.needs.changes == (method in ("POST", "PUT", "DELETE")), (method, path)


def test_a_name_in_a_path_is_any_segment(bus: ServerProcess) -> None:
    for name in ("{name}", "%7Bname%7D", "a.b", "%0a", "why", "dead"):
        assert refusal(request(bus, "GET", f"/v1/consumers/{name}/why"))[0] == 404
        assert refusal(request(bus, "DELETE", f"/v1/consumers/{name}"))[0] == 404


def test_nothing_gets_around_the_gate(start_server: StartServer, routes: dict[tuple[str, str], Route]) -> None:
    server = start_server(wrapper=with_mistakes("bus.server.api.gate:Gate.let_in"))
    for method, path in routes:
        if path != "*":
            assert request(server, method, re.sub(r"\{\w+\}", "nobody", path)).status == 500, (method, path)
    assert post(server, draft("app.a"), Content_Type=NDJSON).status == 500
    server.stop()
