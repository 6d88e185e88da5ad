"""What the server logs, in which form, and what must never stand there."""

from __future__ import annotations

import base64
import logging
import re
import socket
import sys
from collections.abc import Callable
from struct import pack
from typing import Any

import msgspec
import pytest

from bus.server.log_output import JsonLines
from bus.wire import NDJSON
from tests.conftest import StartServer
from tests.server.support import acknowledge, draft, post, publish, stored
from tests.support import ServerProcess, connect, raw, request, subscribe

ACCESS = ["--access-log", "true"]
JSON_LINES = [*ACCESS, "--log-format", "json"]


def lines(server: ServerProcess) -> list[dict[str, Any]]:
    """The whole log of a server that writes JSON, once it has stopped."""
    assert server.stop() == 0
    return [msgspec.json.decode(line) for line in server.log.splitlines()]


def leave_while_it_waits(server: ServerProcess, event: bytes, *headers: str) -> None:
    """Ask for a reply, and break off when the event is there."""
    head = "\r\n".join(["POST /?wait=reply HTTP/1.1", "Host: bus", f"Content-Length: {len(event)}", *headers, "", ""])
    with subscribe(server, "app.a") as service, connect(server.port) as connection:
        connection.sendall(head.encode() + event)
        service.take(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))


def accesses(server: ServerProcess) -> list[dict[str, Any]]:
    return [line for line in lines(server) if line["logger"] == "bus.access"]


def test_a_line_for_each_request_in_their_order(start_server: StartServer) -> None:
    server = start_server(flags=JSON_LINES)
    body = request(server, "GET", "/v1/namespaces").body
    publish(server, "app.a")
    request(server, "HEAD", "/v1/namespaces")
    request(server, "DELETE", "/nowhere%0Ainjected")
    raw(server.port, b"nonsense\r\n\r\n")
    found = accesses(server)
    assert [(one["method"], one["path"], one["status"]) for one in found] == [
        ("GET", "/v1/namespaces", 200),
        ("POST", "/", 202),
        ("HEAD", "/v1/namespaces", 200),
        ("DELETE", "/nowhere%0Ainjected", 404),
        ("-", "-", 400),
    ]
    assert [one["bytes"] for one in found[:3]] == [len(body), 0, 0]
    for one in found:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", one["time"])
        assert (one["level"], one["address"], one["principal"]) == ("INFO", "127.0.0.1", None)
        assert 0 <= one["ms"] < 60_000


def test_a_stream_has_its_line_at_its_end(start_server: StartServer) -> None:
    server = start_server(flags=JSON_LINES)
    stored(server, "app.a", "x" * 5000)
    with subscribe(server, "app.>", start="oldest", limit=1) as stream:
        stream.rest()
    with subscribe(server, "app.>", start="oldest") as stream:
        stream.take(1)
    answer = post(server, b"\n".join([draft("app.a")] * 10), Content_Type=NDJSON)
    found = accesses(server)
    for query in ("?subject=app.%3E&start=oldest&limit=1", "?subject=app.%3E&start=oldest"):
        (one,) = (one for one in found if one["query"] == query)
        assert (one["status"], one["bytes"] > 5000) == (200, True)
    upload = max(one["bytes"] for one in found if one["method"] == "POST")
    assert len(answer.body) <= upload < len(answer.body) + 1000


def test_a_request_whose_client_leaves_has_a_line_without_a_status(start_server: StartServer) -> None:
    server = start_server(flags=ACCESS)
    leave_while_it_waits(server, draft("app.a"))
    server.wait_for_log("bus.access 127.0.0.1 - POST /?wait=reply - 0 ")


def test_the_client_behind_a_proxy_is_named(start_server: StartServer) -> None:
    server = start_server(flags=[*ACCESS, "--trusted-proxies", "127.0.0.1"])
    request(server, "HEAD", "/", X_Forwarded_For="203.0.113.7")
    server.wait_for_log("203.0.113.7 - HEAD / 200 0 ")
    request(server, "HEAD", "/", X_Forwarded_For="203.0.113.7", Forwarded="for=192.0.2.1")
    server.wait_for_log("127.0.0.1 - HEAD / 200 0 ")


def test_debug_tells_of_streams_consumers_and_what_is_given_up(start_server: StartServer) -> None:
    server = start_server(flags=["--log-level", "DEBUG"])
    stored(server, "app.a")
    with subscribe(server, "app.a", start="oldest", ack="manual", consumer="billing") as stream:
        consumer = stream.headers["x-bus-consumer-id"]
        acknowledge(server, consumer, stream.take(1)[0].id, action="reject", reason="no such\norder")
    server.wait_for_log(f"bus.engine consumer billing: joined by {consumer}")
    server.wait_for_log("bus.engine consumer billing: event 1 given up after 1 attempts: 'no such order'")
    server.wait_for_log(f"bus.server stream {consumer}: opened on app")
    server.wait_for_log(f"bus.server stream {consumer}: ended: its client is gone")
    server.wait_for_log(f"bus.engine consumer billing: left by {consumer}, 0 in flight")
    stored(server, "app.a")
    with subscribe(server, "app.a", start="oldest", ack="manual", consumer="billing") as stream:
        stream.take(1)
    server.wait_for_log(f"left by {stream.headers['x-bus-consumer-id']}, 1 in flight")
    assert request(server, "GET", "/v1/watch?follow=false").status == 200
    server.wait_for_log("opened on the counts")
    with subscribe(server, "app.a", follow="false") as stream:
        stream.rest()
    server.wait_for_log("ended: complete, tail")
    with subscribe(server, "app.a"):
        assert server.stop() == 0
    assert "ended: the server stops" in server.log


def test_nothing_is_logged_of_requests_unless_that_is_asked_for(start_server: StartServer) -> None:
    server = start_server()
    publish(server, "app.a")
    request(server, "GET", "/nowhere")
    assert server.stop() == 0
    assert "bus.access" not in server.log and "nowhere" not in server.log


SECRET = "s3cr3t-of-nobody"
BASIC = base64.b64encode(f"user:{SECRET}".encode()).decode()
EVENT = draft("app.a", SECRET)


WAYS: list[Callable[[ServerProcess], object]] = [
    lambda server: publish(server, "app.a", SECRET, key=SECRET, trace_id=SECRET),
    lambda server: post(server, EVENT, Authorization=f"Bearer {SECRET}"),
    lambda server: post(server, EVENT, Authorization=f"Basic {BASIC}", Cookie=f"session={SECRET}"),
    lambda server: post(server, EVENT[:-1], Content_Type=NDJSON, Authorization=f"Bearer {SECRET}"),
    lambda server: post(server, SECRET.encode(), f"?ticket={SECRET}"),
    lambda server: request(server, "GET", f"/?subject=app.a&ticket={SECRET}&follow=false"),
    lambda server: request(server, "GET", f"/?{SECRET}=1&ticket={SECRET}%0A"),
    lambda server: request(server, "GET", f"/?subject=app.a&follow=false&last_event_id={SECRET}", Last_Event_ID=SECRET),
    lambda server: request(server, "GET", f"/?ticket={SECRET}%ff"),
    lambda server: request(server, "PUT", f"/?consumer_id=c_x&event_id={SECRET}&reason={SECRET}"),
    lambda server: raw(server.port, f"GET http://user:{SECRET}@bus/ HTTP/1.1\r\nHost: bus\r\n\r\n".encode()),
    lambda server: raw(server.port, f"GET / HTTP/1.1\r\nHost: user:{SECRET}@bus\r\n\r\n".encode()),
    lambda server: raw(server.port, f"GET / HTTP/1.1\r\nHost: bus\r\nAuthorization {SECRET}\r\n\r\n".encode()),
    lambda server: raw(server.port, f"{SECRET} / HTTP/1.1\r\n\r\n".encode()),
    lambda server: leave_while_it_waits(server, EVENT, f"Authorization: Bearer {SECRET}"),
]


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_is_in_any_line(start_server: StartServer, form: str) -> None:
    flags = [*ACCESS, "--log-level", "DEBUG", "--log-format", form]
    server = start_server(flags=flags, env={"BUS_SECRET_KEY": SECRET})
    for ask in WAYS:
        ask(server)
    assert server.stop() == 0
    assert server.log.count("bus.access") >= len(WAYS)
    for secret in (SECRET, BASIC, base64.b64encode(SECRET.encode()).decode().rstrip("=")):
        assert secret not in server.log


def test_a_traceback_is_one_line_of_json() -> None:
    try:
        raise ValueError("twice\nbroken")
    except ValueError:
        record = logging.LogRecord("bus", logging.ERROR, __file__, 1, "a mistake %s", ("here",), sys.exc_info())
    line = JsonLines().format(record)
    assert "\n" not in line
    found = msgspec.json.decode(line)
    assert (found["message"], found["level"], found["logger"]) == ("a mistake here", "ERROR", "bus")
    assert "ValueError: twice\nbroken" in found["traceback"]
