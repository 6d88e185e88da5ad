"""Both clients acknowledge, request and confirm, with a real server in its own process."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from bus import Client
from bus.errors import (
    InvalidEventError,
    ServiceError,
    TimedOutError,
)
from tests.client.conftest import Connect
from tests.client.support import beside
from tests.support import PATIENCE, ServerProcess

pytestmark = pytest.mark.every_engine


def test_an_unacknowledged_event_comes_again_and_is_dropped_at_last(
    server: ServerProcess, app: str, connect: Connect
) -> None:
    client = connect(server.url)
    dropped: list[Any] = []
    events = client.get(
        f"{app}.a", start="oldest", ack="manual", redelivery="20ms", redelivery_count=2, on_dropped=dropped.append
    )
    client.put(f"{app}.a", 1)
    client.put(f"{app}.a", 2)
    deliveries = [next(events) for _ in range(3)]
    assert [(event.payload, event.attempts) for event in deliveries] == [(1, 1), (1, 2), (2, 1)]
    assert [(told.index, told.attempts) for told in dropped] == [(1, 2)]
    events.close()


def test_what_is_said_about_an_event_is_done(server: ServerProcess, app: str, connect: Connect) -> None:
    client = connect(server.url)
    client.put_many([{"subject": f"{app}.a", "payload": name} for name in ("ack", "nack", "reject")])
    dropped: list[Any] = []
    seen = []
    options = {"ack": "manual", "redelivery": "30s", "on_dropped": dropped.append}
    for event in client.get(f"{app}.a", start="oldest", limit=4, **options):
        seen.append(event.payload)
        event.extend(delay="1m")
        if event.payload == "nack" and event.attempts == 1:
            event.nack(delay=0.01, reason="not yet")
        elif event.payload == "reject":
            event.reject(reason="never")
        else:
            event.ack()
    # A delay frees the window, so the next event comes before the one that was put off.
    assert seen == ["ack", "nack", "reject", "nack"]
    assert [told.reason for told in dropped] == ["never"]


def test_acknowledging_by_ids(server: ServerProcess, app: str, connect: Connect) -> None:
    client = connect(server.url)
    client.put_many([{"subject": f"{app}.a"}] * 250)
    events = client.get(f"{app}.a", start="oldest", ack="manual", prefetch=250, limit=250, redelivery="30s")
    ids = [next(events).id for _ in range(250)]
    client.ack(events.consumer_id, ids)
    assert list(events) == []


def serve(url: str, subject: str, answer: Any, *, requests: int) -> None:
    """Answer so many requests by hand."""
    with Client(url) as client:
        for event in client.get(subject, start="oldest", ack="manual", limit=requests, redelivery="30s"):
            answer(event)


def test_a_request_is_replied_to(server: ServerProcess, app: str, connect: Connect) -> None:
    client = connect(server.url)

    def answer(event: Any) -> None:
        event.reply({"result": event.payload["a"] + event.payload["b"]})

    with beside(lambda: serve(server.url, f"{app}.add", answer, requests=2)):
        assert client.request(f"{app}.add", {"a": 10, "b": 20}) == {"result": 30}
        assert client.request(f"{app}.add", {"a": 1, "b": 2}, timeout=5) == {"result": 3}


def test_a_rejected_request_is_the_requesters_error(server: ServerProcess, app: str, connect: Connect) -> None:
    client = connect(server.url)
    with (
        beside(lambda: serve(server.url, f"{app}.div", lambda event: event.reject(reason="by zero"), requests=1)),
        pytest.raises(ServiceError, match="by zero"),
    ):
        client.request(f"{app}.div", {"a": 1, "b": 0})


def test_a_request_without_a_service_times_out_but_is_stored(server: ServerProcess, app: str, connect: Connect) -> None:
    client = connect(server.url)
    with pytest.raises(TimedOutError) as caught:
        client.request(f"{app}.nobody", timeout=0.05)
    assert caught.value.receipt is not None
    assert caught.value.receipt.index == 1


def test_an_event_that_asks_for_no_reply_cannot_be_replied_to(
    server: ServerProcess, app: str, connect: Connect
) -> None:
    client = connect(server.url)
    client.put(f"{app}.a")
    (event,) = client.get(f"{app}.a", start="oldest", limit=1)
    with pytest.raises(InvalidEventError, match="asks for no reply"):
        event.reply(1)


@pytest.mark.parametrize("ack", ["none", "manual"])
def test_a_confirmed_put_returns_once_it_is_acknowledged(
    server: ServerProcess, app: str, connect: Connect, ack: Any
) -> None:
    client = connect(server.url)
    ready = threading.Event()

    def confirm() -> None:
        with Client(server.url) as other, other.get(f"{app}.critical", ack=ack) as events:
            ready.set()
            next(events).ack()

    with beside(confirm):
        assert ready.wait(PATIENCE)
        assert client.put(f"{app}.critical", "important", confirm=1).index == 1


def test_a_put_that_is_not_confirmed_times_out_but_is_stored(server: ServerProcess, app: str, connect: Connect) -> None:
    client = connect(server.url)
    with pytest.raises(TimedOutError) as caught:
        client.put(f"{app}.critical", confirm=1, timeout=0.05)
    assert caught.value.receipt is not None
    assert caught.value.receipt.index == 1


def test_an_event_for_a_waiting_publisher_of_the_go_client_is_answered(
    server: ServerProcess, app: str, connect: Connect
) -> None:
    # That client publishes with an inbox and reads it from its beginning: an ack must leave something there.
    client = connect(server.url)
    client.put(f"{app}.critical", response_subject="_bus_.go-1")
    for event in client.get(f"{app}.critical", start="oldest", ack="manual", limit=1):
        event.ack()
    (reply,) = client.get("_bus_.go-1", start="oldest", limit=1)
    assert reply.payload is None
