"""Both clients read single events, and delete events for good."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bus.errors import InvalidParameterError, UnknownEventError
from tests.client.conftest import Connect
from tests.support import ServerProcess


def left(client: Any, app: str) -> list[Any]:
    return [event.payload for event in client.get(f"{app}.>", start="oldest", follow=False)]


def test_one_event_is_read(server: ServerProcess, app: str, connect: Connect) -> None:
    client = connect(server.url)
    receipt = client.put(f"{app}.read", {"a": [1, "é"]}, key=f"key-{app}", headers={"x": "y"})
    event = client.events.get(receipt.id)
    assert (event.id, event.subject, event.payload) == (receipt.id, f"{app}.read", {"a": [1, "é"]})
    assert (event.index, event.key, event.headers) == (receipt.index, f"key-{app}", {"x": "y"})
    client.events.delete(receipt.id)
    with pytest.raises(UnknownEventError, match="was deleted, or never was"):
        client.events.get(receipt.id)


def test_events_are_deleted(server: ServerProcess, app: str, connect: Connect) -> None:
    client = connect(server.url)
    receipts = [client.put(f"{app}.n{number % 2}", number) for number in range(6)]
    assert client.events.delete_matching(f"{app}.n1", before=receipts[3].index) == 1
    assert client.events.delete(receipts[0].id) == 1
    assert left(client, app) == [2, 3, 4, 5]
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert client.events.delete_matching([f"{app}.n0", f"{app}.x"], before=tomorrow, timeout=60) == 2
    assert left(client, app) == [3, 5]
    with pytest.raises(UnknownEventError, match="was deleted, or never was"):
        client.events.delete(receipts[0].id)


def test_a_time_without_a_time_zone_is_refused(server: ServerProcess, connect: Connect) -> None:
    with pytest.raises(InvalidParameterError, match="time zone"):
        connect(server.url).events.delete_matching("app.>", before=datetime(2026, 1, 31))
