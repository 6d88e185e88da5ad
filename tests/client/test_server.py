"""Both clients against a real server in its own process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from bus import Client
from bus.errors import (
    BusError,
    DuplicateKeyError,
    InvalidEventError,
    InvalidParameterError,
    InvalidSubjectError,
    ServiceError,
    TimedOutError,
    TooLargeError,
    UnknownEventError,
    UnknownNamespaceError,
)
from bus.event import Draft, Receipt
from tests.client.conftest import Connect
from tests.conftest import StartServer
from tests.support import PATIENCE, ServerProcess


@contextmanager
def beside(work: Any) -> Iterator[None]:
    """Run *work* in another thread meanwhile; raises what it raised."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join(PATIENCE)
    assert not thread.is_alive()
    if errors:
        raise errors[0]


def indexes(events: Any) -> list[int]:
    return [event.index for event in events]


def test_what_is_put_can_be_got(server: ServerProcess, app: str, connect: Connect) -> None:
    client = connect(server.url)
    payload = {"name": "Ünïcode", "list": [1, 2.5, None, True], "nested": {"a": {}}}
    receipt = client.put(
        f"{app}.users.created", payload, key="k", trace_id="t", id="mine-1", response_subject="_bus_.inbox"
    )
    (event,) = client.get(f"{app}.>", start="oldest", limit=1)
    assert event.payload == payload
    assert (event.id, event.index, event.created_at) == (receipt.id, receipt.index, receipt.created_at)
    assert (event.id, event.key, event.trace_id, event.response_subject) == ("mine-1", "k", "t", "_bus_.inbox")
    assert event.consumer_id.startswith("c_")


@pytest.mark.parametrize("start", ["oldest", 1, "1h"])
def test_a_subscription_begins_where_it_is_told(server: ServerProcess, app: str, connect: Connect, start: Any) -> None:
    client = connect(server.url)
    client.put_many([{"subject": f"{app}.a", "payload": number} for number in range(3)])
    assert indexes(client.get(f"{app}.a", start=start, follow=False)) == [1, 2, 3]


def test_a_subscription_begins_after_an_event(server: ServerProcess, app: str, connect: Connect) -> None:
    client = connect(server.url)
    first, _ = client.put(f"{app}.a"), client.put(f"{app}.a")
    assert indexes(client.get(f"{app}.a", start=first.id, follow=False)) == [2]
    with pytest.raises(UnknownEventError):
        client.get(f"{app}.a", start="e_never", follow=False)


def test_newest_is_what_comes_after_the_subscription_stands(server: ServerProcess, app: str, connect: Connect) -> None:
    client = connect(server.url)
    client.put(f"{app}.a")
    events = client.get([f"{app}.a", f"{app}.b"])
    client.put(f"{app}.b")
    client.put(f"{app}.c")
    client.put(f"{app}.a")
    assert [next(events).subject, next(events).subject] == [f"{app}.b", f"{app}.a"]
    events.close()


def test_raw_payloads_come_back_byte_for_byte(server: ServerProcess, app: str, connect: Connect) -> None:
    client = connect(server.url)
    text = b'{"n": 1.00, "big": 123456789012345678901234567890, "e": 1E5}'
    client.put(f"{app}.a", msgspec.Raw(text))
    client.put_many([Draft(subject=f"{app}.a", payload=msgspec.Raw(b"[1,\n 2]"))] * 2, atomic=False)
    events = client.get(f"{app}.a", start="oldest", follow=False, payload_type=msgspec.Raw)
    assert [bytes(event.payload) for event in events] == [text, b"[1, 2]", b"[1, 2]"]


@pytest.mark.parametrize(
    ("subject", "payload", "kind"),
    [
        ("", None, InvalidSubjectError),
        ("app", None, InvalidSubjectError),
        ("app.*", None, InvalidSubjectError),
        ("nope.a", None, UnknownNamespaceError),
        ("app.a", object(), InvalidEventError),
        ("app.a", "\ud800", InvalidEventError),
        ("app.a", "x" * (5 << 20), TooLargeError),
    ],
)
def test_what_cannot_be_an_event_is_refused(
    server: ServerProcess, app: str, connect: Connect, subject: str, payload: Any, kind: type[BusError]
) -> None:
    client = connect(server.url)
    with pytest.raises(kind) as caught:
        client.put(subject, payload)
    assert "\n" not in caught.value.message
    assert client.put(f"{app}.a").index == 1


def test_a_wrong_option_is_refused(server: ServerProcess, app: str, connect: Connect) -> None:
    client = connect(server.url)
    for options in ({"start": "when ever"}, {"redelivery": "5x"}, {"limit": -1}):
        with pytest.raises(InvalidParameterError):
            client.get(f"{app}.a", **options)
    with pytest.raises(InvalidSubjectError):
        client.get("app")


def test_a_key_is_stored_once(server: ServerProcess, app: str, connect: Connect) -> None:
    client = connect(server.url)
    first = client.put(f"{app}.a", key="k")
    with pytest.raises(DuplicateKeyError, match="key was processed before") as caught:
        client.put(f"{app}.a", key="k")
    assert caught.value.receipt == first


def test_a_batch_is_stored_as_a_whole_or_not_at_all(server: ServerProcess, app: str, connect: Connect) -> None:
    client = connect(server.url)
    assert client.put_many([{"subject": f"{app}.a", "payload": 1}, {"subject": f"{app}.b"}]).index == 2
    with pytest.raises(InvalidSubjectError):
        client.put_many([{"subject": f"{app}.a"}, {"subject": "app"}])
    with pytest.raises(InvalidEventError):
        client.put_many([{"subject": f"{app}.a", "pay": 1}])
    assert client.put(f"{app}.a").index == 3


def test_independent_events_have_outcomes_of_their_own(server: ServerProcess, app: str, connect: Connect) -> None:
    client = connect(server.url)
    drafts = [{"subject": f"{app}.a", "payload": number, "key": str(number % 2000)} for number in range(2500)]
    drafts[1] = {"subject": "app"}
    outcomes = client.put_many(drafts, atomic=False)
    assert isinstance(outcomes[1], InvalidSubjectError)
    stored = [outcome.index for outcome in outcomes if isinstance(outcome, Receipt)]
    assert stored == list(range(1, len(stored) + 1))
    assert len(outcomes) == 2500
    assert client.put_many([], atomic=False) == []


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


def test_health(start_server: StartServer, connect: Connect) -> None:
    server = start_server()
    client = connect(server.url, timeout=0.2)
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
