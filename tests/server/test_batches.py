"""A JSON array is an atomic batch: all of its events are stored one behind the other, or none is."""

from __future__ import annotations

import pytest

from tests.server.support import draft, post, read, refusal
from tests.support import Answer, ServerProcess

pytestmark = pytest.mark.every_engine


def _batch(server: ServerProcess, *events: bytes) -> Answer:
    return post(server, b"[" + b",".join(events) + b"]")


def test_the_answer_describes_the_last_event(bus: ServerProcess, subject: str) -> None:
    answer = _batch(bus, *(draft(subject, number) for number in range(3)))
    assert (answer.status, answer.headers["x-bus-event-count"]) == (202, "3")
    events = read(bus, subject)
    assert [event["payload"] for event in events] == [0, 1, 2]
    assert events[2]["index"] == events[0]["index"] + 2
    assert answer.headers["x-bus-event-id"] == events[2]["id"]
    assert answer.headers["x-bus-event-index"] == str(events[2]["index"])


def test_one_event_counts_as_one(bus: ServerProcess, subject: str) -> None:
    assert post(bus, draft(subject)).headers["x-bus-event-count"] == "1"


@pytest.mark.parametrize(
    "bad",
    [
        b'{"subject":"app","payload":1}',
        b'{"subject":"app.*","payload":1}',
        b'{"payload":1}',
        b'{"subject":"orders.other","payload":1}',
        b'{"subject":"nowhere.a","payload":1}',
        b'{"subject":"app.a","id":"no id"}',
        b'{"subject":"app.a","payload":NaN}',
        b'"app.a"',
        b"null",
        b"[]",
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_bad_event_refuses_all(bus: ServerProcess, subject: str, bad: bytes, place: int) -> None:
    events = [draft(subject, 1), draft(subject, 2)]
    events.insert(place, bad)
    assert refusal(_batch(bus, *events))[0] == 400
    assert read(bus, subject) == []


def test_a_key_that_was_used_refuses_the_whole_batch(bus: ServerProcess, subject: str) -> None:
    first = post(bus, draft(subject, 1, key="k"))
    answer = _batch(bus, draft(subject, 2, key="other"), draft(subject, 3, key="k"))
    assert answer.status == 409
    assert answer.headers["x-bus-event-id"] == first.headers["x-bus-event-id"]
    assert post(bus, draft(subject, 4, key="other")).status == 202, "a refused batch uses no key"
    assert [event["payload"] for event in read(bus, subject)] == [1, 4]


def test_a_key_twice_in_one_batch_is_refused(bus: ServerProcess, subject: str) -> None:
    answer = _batch(bus, draft(subject, 1, key="k"), draft(subject, 2, key="k"))
    assert (answer.status, read(bus, subject)) == (409, [])


@pytest.mark.parametrize("body", [b"[]", b" [ ] ", b"[{", b"[1,]", b"[[]]"])
def test_what_is_no_batch_is_refused(bus: ServerProcess, body: bytes) -> None:
    assert post(bus, body).status == 400


def test_a_batch_to_an_inbox_is_refused_because_it_could_be_stored_in_part(bus: ServerProcess) -> None:
    inbox = "_bus_.batch"
    status, text = refusal(_batch(bus, draft(inbox, 1), draft(inbox, 2)))
    assert (status, "a batch can't go to an inbox" in text) == (400, True)
    assert read(bus, inbox) == []
