"""What was said too late is said when its event comes again."""

from __future__ import annotations

from bus.client.core.request import Acknowledgement
from bus.errors import (
    UnknownConsumerError,
)
from tests.client.streams import HEAD, acked, frame, reconnected, repeated, state, take_all, taken


def test_an_event_settled_after_its_connection_broke_is_not_delivered_again() -> None:
    stream = state(ack="manual")
    stream.feed(frame(1, attempts=1))
    (event,) = take_all(stream)
    parameters, _ = reconnected(stream)
    assert parameters["start"] == "1"
    assert stream.put_off(event, acked(event), UnknownConsumerError("gone"))
    stream.feed(frame(1, attempts=1) + frame(2, attempts=1))
    assert taken(stream) == [2]
    assert repeated(stream) == [("ack", ["e_1"])]


def test_a_redelivery_is_delivered() -> None:
    stream = state(ack="manual", limit=5)
    stream.feed(frame(1, attempts=1) + frame(1, attempts=2))
    assert [event.attempts for event in take_all(stream)] == [1, 2]
    parameters, _ = reconnected(stream)
    assert parameters["limit"] == "4"


def test_a_rejection_that_came_too_late_is_said_and_not_an_acknowledgement() -> None:
    stream = state(ack="manual", consumer="w")
    stream.feed(frame(1, attempts=1) + frame(2, attempts=1))
    first, second = take_all(stream)
    stream.disconnected()
    for event, said in (
        (first, Acknowledgement("c_1", ["e_1"], "reject", reason="never")),
        (second, Acknowledgement("c_1", ["e_2"], reply=b"2")),
    ):
        assert stream.put_off(event, said, UnknownConsumerError("gone"))
    assert not stream.put_off(first, Acknowledgement("c_1", ["e_1"], "extend"), UnknownConsumerError("gone"))
    stream.connected(HEAD)
    stream.feed(frame(1, attempts=1) + frame(2, attempts=1))
    assert taken(stream) == []
    assert [(said.action, said.reason, said.reply) for said in stream.late.due()] == [
        ("reject", "never", b""), ("ack", "", b"2"),
    ]  # fmt: skip
