"""Both clients publish to and subscribe from a real server in its own process."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bus.errors import (
    BusError,
    DuplicateKeyError,
    InvalidEventError,
    InvalidParameterError,
    InvalidSubjectError,
    TooLargeError,
    UnknownConsumerError,
    UnknownEventError,
    UnknownNamespaceError,
)
from bus.event import Draft, Receipt
from tests.client.conftest import Connect
from tests.support import ServerProcess, request


def indexes(events: Any) -> list[int]:
    return [event.index for event in events]


def test_what_is_put_can_be_got(server: ServerProcess, app: str, connect: Connect) -> None:
    client = connect(server.url)
    payload = {"name": "Ünïcode", "list": [1, 2.5, None, True], "nested": {"a": {}}}
    receipt = client.put(
        f"{app}.users.created", payload, key="k", trace_id="t", id="mine-1", response_subject="_bus_.inbox"
    )
    client.put_many([{"subject": f"{app}.more", "headers": {"a": "b"}, "ttl": 3600}])
    client.put(f"{app}.expired", ttl="15m", created_at="2020-01-31T12:00:00Z")
    client.put(f"{app}.more", ttl="1w")
    event, more, last = client.get(f"{app}.>", start="oldest", limit=3)
    assert (event.headers, more.headers) == ({}, {"a": "b"})
    assert (event.ttl, more.ttl, last.ttl) == ("", "1h", "1w")
    assert event.payload == payload
    assert (event.id, event.index, event.created_at) == (receipt.id, receipt.index, receipt.created_at)
    assert (event.id, event.key, event.trace_id, event.response_subject) == ("mine-1", "k", "t", "_bus_.inbox")
    assert event.consumer_id.startswith("c_")


@pytest.mark.parametrize("start", ["oldest", 1, "1h", -3])
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


def test_a_deleted_consumer_is_an_error_and_does_not_come_back(
    server: ServerProcess, app: str, connect: Connect
) -> None:
    client = connect(server.url)
    client.put(f"{app}.a")
    events = client.get(f"{app}.a", start="oldest", ack="manual", consumer=f"{app}-billing")
    next(events)
    assert request(server, "DELETE", f"/v1/consumers/{app}-billing").status == 204
    with pytest.raises(UnknownConsumerError, match="deleted"):
        next(events)
    assert request(server, "GET", f"/v1/consumers/{app}-billing").status == 404


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
