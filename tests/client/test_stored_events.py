"""Both clients read single events, and delete events for good."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from bus.errors import AmbiguousEventError, InvalidEventError, InvalidParameterError, UnknownEventError
from tests.client.conftest import Connect
from tests.conftest import StartServer
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


def test_one_of_several_namespaces_is_meant(start_server: StartServer, connect: Connect) -> None:
    server = start_server(namespaces=["app", "orders"])
    client = connect(server.url)
    for name in ("app", "orders"):
        client.put(f"{name}.a", name, id="same")
    for call in (client.events.get, client.events.delete):
        with pytest.raises(AmbiguousEventError, match="say which") as refused:
            call("same")
        assert refused.value.namespaces == ("app", "orders")
    assert client.events.get("same", namespace="orders").payload == "orders"
    assert client.events.delete("same", namespace="orders", timeout=60) == 1
    assert client.events.get("same").payload == "app"


def test_events_are_read_from_the_end(server: ServerProcess, app: str, connect: Connect) -> None:
    client = connect(server.url)
    receipts = [client.put(f"{app}.n{number % 2}", number) for number in range(6)]
    page = client.events.page(f"{app}.>", limit=4)
    assert [event.payload for event in page.events] == [5, 4, 3, 2] and page.next == receipts[2].index
    page = client.events.page([f"{app}.n0", f"{app}.n1"], before=page.next, timeout=60)
    assert [(event.id, event.subject, event.index) for event in page.events] == [
        (receipt.id, f"{app}.n{number}", receipt.index) for number, receipt in reversed([*enumerate(receipts[:2])])
    ]
    assert page.next is None
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert [event.payload for event in client.events.page(f"{app}.n1", before=tomorrow).events] == [5, 3, 1]


def test_all_events_are_read_from_the_end_a_page_at_a_time(
    server: ServerProcess, app: str, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("aio", "blocking"):
        monkeypatch.setattr(f"bus.client.{kind}.stored_events.PAGE", 2)
    client = connect(server.url)
    client.put_many([{"subject": f"{app}.a", "payload": number} for number in range(5)])
    found = client.events.newest_first(f"{app}.a", before=5)
    assert [event.payload for event in found] == [3, 2, 1, 0]


def test_payloads_are_decoded_as_they_are_wanted(server: ServerProcess, app: str, connect: Connect) -> None:
    client = connect(server.url)
    client.put(f"{app}.a", msgspec.Raw(b'{"x":1e2}'))
    (raw,) = client.events.page(f"{app}.a", payload_type=msgspec.Raw).events
    assert bytes(raw.payload) == b'{"x":1e2}'
    (typed,) = client.events.page(f"{app}.a", payload_type=dict[str, float]).events
    assert typed.payload == {"x": 100.0}
    with pytest.raises(InvalidEventError, match="at index 1 can't be decoded: Expected `int`"):
        client.events.page(f"{app}.a", payload_type=int)


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


def test_subjects_are_counted(server: ServerProcess, app: str, connect: Connect, monkeypatch: Any) -> None:
    client = connect(server.url)
    monkeypatch.setattr("bus.client.core.stored_events.SUBJECT_PAGE", 2)
    for name in "cabca":
        receipt = client.put(f"{app}.{name}", 1)
    found = client.events.subjects(f"{app}.>")
    assert [(row.subject, row.events) for row in found] == [(f"{app}.a", 2), (f"{app}.b", 1), (f"{app}.c", 2)]
    assert found[0].last_index == receipt.index
    assert client.events.subjects([f"{app}.b", f"{app}.c"], limit=1) == [found[1]]


def test_a_stream_begins_with_the_newest_of_each_subject(server: ServerProcess, app: str, connect: Connect) -> None:
    client = connect(server.url)
    for number, name in enumerate("abca"):
        client.put(f"{app}.{name}", number)
    assert [event.payload for event in client.get(f"{app}.>", start="last", follow=False)] == [1, 2, 3]


def test_a_consumer_begins_with_the_newest_of_each_subject(server: ServerProcess, app: str, connect: Connect) -> None:
    client = connect(server.url)
    for number, name in enumerate("abca"):
        client.put(f"{app}.{name}", number)
    for durable in (None, f"newest-{app}"):
        got = []
        for event in client.get(f"{app}.>", start="last", ack="manual", consumer=durable, follow=False):
            got.append(event.payload)
            event.ack()
        assert got == [1, 2, 3]
    assert client.consumers.get(f"newest-{app}").behind == 0
