"""Namespaces are made, changed and deleted while the server runs, and stay so over restarts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.conftest import StartServer
from tests.server.support import publish
from tests.support import Answer, ServerProcess, request, subscribe

pytestmark = [pytest.mark.every_engine, pytest.mark.embedded_only("namespaces made while servers run")]

ORDERS = "/v1/namespaces/orders"


def put(server: ServerProcess, name: str, body: bytes = b"{}") -> Answer:
    return request(server, "PUT", f"/v1/namespaces/{name}", body)


def delete(server: ServerProcess, name: str) -> Answer:
    return request(server, "DELETE", f"/v1/namespaces/{name}")


def show(server: ServerProcess, name: str) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(request(server, "GET", f"/v1/namespaces/{name}").body)
    return found


def bytes_in(place: Path, text: bytes) -> list[Path]:
    """The files below *place* that have *text* in their name or in what they hold."""
    files = [path for path in place.rglob("*") if path.is_file()]
    return [path for path in files if text in str(path.relative_to(place)).encode() or text in path.read_bytes()]


def test_a_namespace_is_there_when_it_is_answered(server: ServerProcess) -> None:
    assert request(server, "POST", "/", b'{"subject": "billing.a"}').status == 404
    made = put(server, "billing")
    assert (made.status, msgspec.json.decode(made.body)["declared"]) == (201, False)
    assert put(server, "billing").status == 200
    with subscribe(server, "billing.>") as stream:
        publish(server, "billing.a", 1)
        assert b"billing.a" in stream.take(1)[0].data
    assert msgspec.json.decode(made.body)["namespace"] in [
        one["namespace"] for one in msgspec.json.decode(request(server, "GET", "/v1/namespaces").body)["namespaces"]
    ]
    assert b'namespace="billing"' in request(server, "GET", "/metrics").body


def test_what_is_left_out_stays_and_null_is_what_the_flags_say(start_server: StartServer) -> None:
    server = start_server(flags=["--retention", "*=7d app=1d", "--quota", "*=1GB"])
    assert (show(server, "app")["retention"], show(server, "app")["quota"]) == ("1d", 10**9)
    put(server, "app", b'{"retention": "1m30s,10GB,1000000"}')
    put(server, "app", b'{"max_bytes": "64KiB"}')
    assert (show(server, "app")["retention"], show(server, "app")["quota"]) == ("90s,10GB,1000000", 65536)
    put(server, "app", b'{"retention": "everything", "max_bytes": 0}')
    assert (show(server, "app")["retention"], show(server, "app")["quota"]) == (None, None)
    put(server, "app", b'{"retention": null, "max_bytes": null}')
    assert (show(server, "app")["retention"], show(server, "app")["quota"]) == ("1d", 10**9)
    put(server, "billing")
    assert (show(server, "billing")["retention"], show(server, "billing")["quota"]) == ("7d", 10**9)


def test_a_quota_holds_at_once(server: ServerProcess) -> None:
    publish(server, "app.a", "x" * 1000)
    put(server, "app", b'{"max_bytes": 100}')
    assert request(server, "POST", "/", b'{"subject": "app.a"}').status == 507
    put(server, "app", b'{"max_bytes": 0}')
    publish(server, "app.a", 1)


def test_all_of_it_outlives_the_server(start_server: StartServer, tmp_path: Path) -> None:
    place = tmp_path / "data"
    server = start_server(place, namespaces=["app"])
    put(server, "billing", b'{"retention": "30d", "max_bytes": "5GB"}')
    put(server, "live", b'{"storage": "memory"}')
    put(server, "app", b'{"retention": "2d"}')
    publish(server, "billing.a", 1)
    publish(server, "live.a", 1)
    server.stop()
    again = start_server(place, namespaces=["app"])
    billing, live, app = (show(again, name) for name in ("billing", "live", "app"))
    assert (billing["retention"], billing["quota"], billing["events"]) == ("30d", 5 * 10**9, 1)
    assert (live["storage"], live["events"], app["retention"], app["declared"]) == ("memory", 0, "2d", True)
    again.stop()
    undeclared = start_server(place, namespaces=[])
    assert request(undeclared, "GET", "/v1/namespaces/app").status == 404
    assert show(undeclared, "billing")["events"] == 1


def test_a_log_that_is_there_is_taken_up_with_its_consumers(start_server: StartServer, tmp_path: Path) -> None:
    place = tmp_path / "data"
    server = start_server(place, namespaces=["app", "orders"])
    publish(server, "orders.a", 1)
    request(server, "PUT", "/v1/consumers/c", b'{"patterns": "orders.>", "start": "oldest"}')
    server.stop()
    server = start_server(place, namespaces=["app"])
    assert request(server, "GET", "/v1/consumers/c").status == 404
    assert put(server, "orders").status == 201
    assert show(server, "orders")["events"] == 1
    assert msgspec.json.decode(request(server, "GET", "/v1/consumers/c").body)["behind"] == 1
    assert put(server, "orders", b'{"storage": "memory"}').status == 409


def test_what_is_deleted_is_gone_with_its_bytes(start_server: StartServer, tmp_path: Path) -> None:
    place = tmp_path / "data"
    server = start_server(place, namespaces=["app"])
    put(server, "orders")
    publish(server, "orders.hidden", "hidden")
    request(server, "POST", "/?delay=1h", b'{"subject": "orders.hidden", "payload": "hidden"}')
    request(server, "PUT", "/v1/consumers/c", b'{"patterns": "orders.hidden", "start": "oldest"}')
    assert bytes_in(place, b"hidden")
    with (
        subscribe(server, "orders.>") as plain,
        subscribe(server, "orders.>", ack="manual") as anonymous,
        subscribe(server, "orders.hidden", ack="manual", consumer="c") as durable,
    ):
        durable.take(1)
        assert delete(server, "orders").status == 204
        for stream in (plain, anonymous, durable):
            assert b'"deleted"' in stream.rest()[-1].data
    assert not bytes_in(place, b"hidden") and not bytes_in(place, b"orders")
    assert delete(server, "orders").status == request(server, "GET", ORDERS).status == 404
    assert request(server, "GET", "/v1/consumers/c").status == 404
    assert b'"schedules":[]' in request(server, "GET", "/v1/schedules").body
    assert b'namespace="orders"' not in request(server, "GET", "/metrics").body
    assert request(server, "GET", "/readyz").status == 200
    assert request(server, "POST", "/", b'{"subject": "orders.a"}').status == 404
    assert put(server, "orders").status == 201
    assert publish(server, "orders.a", 1).headers["x-bus-event-index"] == "1"


def described(server: ServerProcess) -> list[dict[str, Any]]:
    """All namespaces, but for how many subjects they have, which is counted when somebody asks."""
    listed = msgspec.json.decode(request(server, "GET", "/v1/namespaces").body)["namespaces"]
    return [{name: value for name, value in one.items() if name != "subjects"} for one in listed]


@pytest.mark.parametrize(
    ("name", "body", "status", "line"),
    [
        ("_bus_", b"{}", 400, "is reserved for inboxes"),
        ("a.b", b"{}", 400, "is malformed"),
        ("%20", b"{}", 400, "is malformed"),
        ("x" * 255, b"{}", 400, "is malformed"),
        ("lock", b"{}", 400, "has its lock"),
        ("b", b"", 400, "the body is empty"),
        ("b", b'{"retain": "7d"}', 400, "did you mean retention"),
        ("b", b'{"retention": "soon"}', 400, "retention 'soon' can't be read"),
        ("b", b'{"retention": "7d,1d"}', 400, "two limits of a kind"),
        ("b", b'{"retention": "1GB,5,1MB"}', 400, "two limits of a kind"),
        ("b", b'{"retention": ""}', 400, "retention is empty"),
        ("b", b'{"max_bytes": -1}', 400, "max_bytes -1 is out of range"),
        ("b", b'{"max_bytes": "much"}', 400, "size 'much' can't be read"),
        ("b", b'{"storage": "tape"}', 400, "not what goes here"),
        ("app", b'{"storage": "memory"}', 409, "is stored on disk, which can't be changed"),
    ],
)
def test_what_can_not_be_is_refused(server: ServerProcess, name: str, body: bytes, status: int, line: str) -> None:
    before = described(server)
    answer = put(server, name, body)
    assert (answer.status, line in answer.body.decode()) == (status, True), answer.body
    assert described(server) == before


def test_one_that_is_declared_can_not_be_deleted(server: ServerProcess) -> None:
    answer = delete(server, "app")
    assert answer.status == 409
    assert b"take it out there and restart" in answer.body


def test_a_server_without_a_directory_makes_none(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server(tmp_path / "none", namespaces=["live:memory"])
    answer = put(server, "orders")
    assert answer.status == 409 and b"keeps nothing on a disk" in answer.body
    assert not (tmp_path / "none").exists()


def test_every_change_is_written_down(server: ServerProcess) -> None:
    put(server, "billing")
    delete(server, "billing")
    for what in ("PUT", "DELETE"):
        assert f'"what":"{what} /v1/namespaces/billing","allowed":true' in server.log
