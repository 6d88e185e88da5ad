"""Where the next connection of a stream goes on."""

from __future__ import annotations

import pytest

from bus.sse import encode_event
from tests.client.streams import HEAD, OPEN, acked, frame, reconnected, repeated, state, take_all, taken


def test_without_acknowledgement_it_goes_on_after_the_last_event() -> None:
    stream = state(start="oldest")
    stream.feed(OPEN + frame(1) + frame(2) + frame(3)[:-1])
    assert reconnected(stream) == ({"subject": "app.*", "start": "oldest"}, "e_2")
    stream.feed(OPEN + frame(3))
    assert taken(stream) == [1, 2, 3]


def test_before_the_first_event_it_goes_on_where_it_first_began() -> None:
    stream = state(start="newest")
    stream.feed(OPEN)
    assert reconnected(stream) == ({"subject": "app.*", "start": "5"}, "")
    later = encode_event("open", {"consumer_id": "c_2", "namespace": "app", "first_index": 1, "next_index": 9})
    stream.feed(later)
    assert reconnected(stream) == ({"subject": "app.*", "start": "5"}, "")


def test_a_connection_that_never_opened_asks_for_the_same_again() -> None:
    assert reconnected(state(start="15m")) == ({"subject": "app.*", "start": "15m"}, "")


def test_with_acknowledgement_it_goes_on_at_the_oldest_unsettled_event() -> None:
    stream = state(ack="manual", prefetch=10)
    stream.feed(OPEN + b"".join(frame(index, attempts=1) for index in range(1, 6)))
    events = take_all(stream)
    for event in (events[0], events[2], events[3]):
        stream.settled(event, acked(event), attempts=event.attempts)
    parameters, last_event_id = reconnected(stream)
    assert (parameters["start"], last_event_id) == ("2", "")
    stream.feed(b"".join(frame(index, attempts=1) for index in range(2, 7)))
    assert taken(stream) == [2, 5, 6]
    assert repeated(stream) == [("ack", ["e_3", "e_4"])]


def test_with_everything_settled_it_goes_on_after_the_last_event() -> None:
    stream = state(ack="manual")
    stream.feed(OPEN + frame(5, attempts=1))
    (event,) = take_all(stream)
    stream.settled(event, acked(event), attempts=event.attempts)
    assert reconnected(stream) == ({"subject": "app.*", "ack": "manual"}, "e_5")


def test_what_was_not_taken_yet_is_left_to_the_next_connection() -> None:
    stream = state(ack="manual", prefetch=3)
    stream.feed(frame(1, attempts=1) + frame(2, attempts=1))
    stream.disconnected()
    assert stream.pop() is None
    stream.connected(HEAD)
    stream.feed(frame(1, attempts=1) + frame(2, attempts=1))
    assert taken(stream) == [1, 2]


def test_a_durable_consumer_leaves_its_position_to_the_server() -> None:
    stream = state(ack="manual", consumer="billing", start="oldest")
    stream.feed(frame(1, attempts=1))
    expected = {"subject": "app.*", "start": "oldest", "ack": "manual", "consumer": "billing"}
    assert reconnected(stream) == (expected, "")


def test_a_limit_counts_over_connections() -> None:
    stream = state(start="oldest", limit=3)
    stream.feed(frame(1) + frame(2))
    parameters, _ = reconnected(stream)
    assert parameters["limit"] == "1"
    stream.feed(frame(3))
    stream.disconnected()
    assert stream.finished
    assert taken(stream) == [1, 2, 3]


def test_after_an_unknown_event_it_goes_on_where_the_gap_says(caplog: pytest.LogCaptureFixture) -> None:
    stream = state(start="newest")
    stream.feed(OPEN + frame(90))
    gap = {"reason": "unknown", "first_missing": 1, "last_missing": 0, "next_index": 1}
    reconnected(stream)
    stream.feed(encode_event("gap", gap))
    assert reconnected(stream) == ({"subject": "app.*", "start": "1"}, "")
    stream.feed(frame(1))
    assert reconnected(stream)[1] == "e_1"
    assert taken(stream) == [90, 1]
    assert "the server doesn't know the last event received" in caplog.text


def test_an_id_that_would_break_a_header_is_not_sent() -> None:
    stream = state()
    stream.feed(OPEN + frame(7).replace(b'"id":"e_7"', b'"id":"e_7\\r\\nX: 1"'))
    assert reconnected(stream) == ({"subject": "app.*", "start": "8"}, "")
