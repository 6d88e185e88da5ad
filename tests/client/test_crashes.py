"""Both clients while a real server is killed, stopped and started again under them."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from bus.errors import (
    BusError,
)
from tests.client.conftest import Connect
from tests.client.support import beside
from tests.conftest import StartServer
from tests.support import PATIENCE


def indexes(events: Any) -> list[int]:
    return [event.index for event in events]


def test_health(start_server: StartServer, connect: Connect) -> None:
    server = start_server()
    client = connect(server.url, timeout=1.0)
    assert client.health() is True
    server.kill()
    with pytest.raises(BusError, match="can't reach"):
        client.health()


def test_a_stream_survives_the_server(start_server: StartServer, connect: Connect) -> None:
    server = start_server()
    client = connect(server.url)
    events = client.get("app.a")
    for restart in range(3):
        client.put("app.a", restart)
        if restart == 0:
            assert next(events).index == 1
        server.kill() if restart % 2 else server.stop()
        server.restart()
    client.put("app.a", 3)
    assert [next(events).index for _ in range(3)] == [2, 3, 4]
    events.close()


def test_acknowledged_events_do_not_come_again_after_a_crash(start_server: StartServer, connect: Connect) -> None:
    server = start_server()
    client = connect(server.url)
    client.put_many([{"subject": "app.a"}] * 5)
    events = client.get("app.a", start="oldest", ack="manual", prefetch=5, redelivery="30s")
    held = [next(events) for _ in range(5)]
    for event in (held[0], held[2], held[4]):
        event.ack()
    server.restart()
    held[3].ack()  # the consumer it came by is gone
    client.put("app.a")
    again = [next(events) for _ in range(2)]
    assert indexes(again) == [2, 6]
    for event in again:
        event.ack()
    events.close()


def test_puts_with_keys_survive_crashes_and_are_stored_once(start_server: StartServer, connect: Connect) -> None:
    server = start_server()
    client = connect(server.url, timeout=PATIENCE)
    crashed = threading.Event()

    def crash() -> None:
        for _ in range(2):
            server.restart()
        crashed.set()

    count = 0
    with beside(crash):
        while not crashed.is_set() or count < 50:
            client.put("app.a", count, key=str(count))
            count += 1
    payloads = [event.payload for event in client.get("app.a", start="oldest", follow=False)]
    assert payloads == list(range(count))
