"""Stored events as objects, whatever stands in them."""

from __future__ import annotations

import pickle
from decimal import Decimal

import msgspec
import pytest

from bus.client.core.decode import UndecodableEventError
from bus.errors import (
    InvalidEventError,
)
from tests.client.streams import OPEN, frame, reconnected, state, take_all, taken


def test_payloads_are_decoded_as_the_type_asked_for() -> None:
    stream = state(payload_type=dict[str, int])
    stream.feed(frame(1, b'{"a":1}') + frame(2, b'["no"]') + frame(3, b'{"b":2}'))
    first = stream.pop()
    assert first is not None
    assert first.payload == {"a": 1}
    with pytest.raises(InvalidEventError, match="event e_2 at index 2 can't be decoded: Expected `object`"):
        stream.pop()
    assert taken(stream) == [3]


def test_raw_payloads_keep_their_bytes() -> None:
    stream = state(payload_type=msgspec.Raw)
    stream.feed(frame(1, b'{"n": 1.00, "big":123456789012345678901}'))
    event = stream.pop()
    assert event is not None
    assert bytes(event.payload) == b'{"n": 1.00, "big":123456789012345678901}'


def test_numbers_beyond_a_float_are_read_as_they_are() -> None:
    stream = state()
    stream.feed(frame(1, b"1e400") + frame(2, b'{"n":[%b,1]}' % (b"9" * 5000)) + frame(3))
    payloads = [event.payload for event in take_all(stream)]
    assert payloads == [Decimal("1e400"), {"n": [Decimal("9" * 5000), 1]}, None]


TOO_DEEP = b"[" * 200_000 + b"]" * 200_000


@pytest.mark.parametrize("payload", [b"1e999999999999999999999", b'"\xff"', TOO_DEEP, b"nonsense"])
def test_an_event_that_can_not_be_read_is_named_and_passed(payload: bytes) -> None:
    stream = state(ack="manual", prefetch=3)
    stream.feed(frame(1, attempts=1) + frame(2, payload, attempts=1) + frame(3, attempts=1))
    assert stream.pop() is not None
    with pytest.raises(UndecodableEventError, match="event e_2") as caught:
        stream.pop()
    assert caught.value.event.id == "e_2"
    assert caught.value.event.consumer_id == "c_1"
    assert taken(stream) == [3]
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_stream_goes_on_behind_an_event_that_can_not_be_read() -> None:
    stream = state(start="oldest")
    stream.feed(frame(1) + frame(2, b"nonsense"))
    assert reconnected(stream)[1] == "e_2"
    stream.feed(b'id: e_3\nevent: msg\ndata: {"index": "three"}\n\n')
    assert reconnected(stream)[1] == "e_3"


def test_what_can_be_read_of_an_event_is_told_with_it() -> None:
    stream = state(payload_type=dict[str, int])
    stream.feed(frame(1, b'["no"]'))
    with pytest.raises(UndecodableEventError) as caught:
        stream.pop()
    event = caught.value.event
    assert (event.index, event.subject, bytes(event.payload)) == (1, "app.a", b'["no"]')


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_events_written_another_way_are_read(end: bytes) -> None:
    """The Go server's: other fields first, a payload over several lines, any line end."""
    data = b'%b\ndata: {"id":"e_1","subject":"app.a",\ndata:  "index":%d,"payload":{\ndata: }}\nother: 1\n\n'
    stream = state()
    written = OPEN + data % (b"event: msg\nid: e_1", 1) + frame(2) + data % (b"id: e_3\nevent: msg", 3)
    for byte in written.replace(b"\n", end):
        stream.feed(bytes([byte]))
    assert [(event.index, event.payload) for event in take_all(stream)] == [(1, {}), (2, None), (3, {})]
