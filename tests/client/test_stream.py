"""A subscription over broken connections, with lists of bytes as the network."""

from __future__ import annotations

import logging
import pickle
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from bus.client.core.decode import UndecodableEventError
from bus.client.core.delivery import Delivered
from bus.client.core.get_options import GetOptions
from bus.client.core.request import Acknowledgement
from bus.client.core.response import Response
from bus.client.core.stream import StreamState, reconnects
from bus.client.core.stream_notices import Dropped, Gap
from bus.errors import (
    ConnectionFailedError,
    InvalidEventError,
    InvalidParameterError,
    StorageError,
    UnavailableError,
    UnknownConsumerError,
    UnknownNamespaceError,
)
from bus.sse import PING, encode_event
from bus.wire import encode_frame

OPEN = encode_event(
    "open", {"consumer_id": "c_1", "namespace": "app", "first_index": 1, "next_index": 5}, retry_ms=1000
)


HEAD = Response(200, {b"content-type": b"text/event-stream", b"x-bus-consumer-id": b"c_1"})


def frame(index: int, payload: bytes = b"null", **attempts: int) -> bytes:
    extra = b',"attempts":%d' % attempts["attempts"] if attempts else b""
    return encode_frame(f"e_{index}", b"app.a", payload, "2026-01-31T12:00:00Z", index, extra)


def state(**options: Any) -> StreamState[Delivered]:
    """A stream that is connected for the first time."""
    made = StreamState(GetOptions(subjects=("app.*",), **options), Delivered)
    made.connected(None, HEAD)
    return made


def acked(event: Delivered) -> Acknowledgement:
    return Acknowledgement(event.consumer_id, [event.id])


def repeated(stream: StreamState[Delivered]) -> list[tuple[str, list[str]]]:
    """What is to be said of events that came again."""
    return [(said.action, list(said.event_ids)) for said in stream.late.due()]


def reconnected(stream: StreamState[Delivered]) -> tuple[dict[str, str], str]:
    """Break the connection; returns what the next one asks for."""
    stream.disconnected()
    parameters, last_event_id = stream.target()
    stream.connected(None, HEAD)
    asked = dict(parameters)
    assert ("worker" in asked) is stream.options.manual
    asked.pop("worker", None)
    return asked, last_event_id


def taken(stream: StreamState[Delivered]) -> list[int]:
    found = []
    while (event := stream.pop()) is not None:
        found.append(event.index)
    return found


def take_all(stream: StreamState[Delivered]) -> list[Delivered]:
    return list(iter(stream.pop, None))


def test_events_are_the_same_however_the_bytes_are_cut() -> None:
    data = OPEN + frame(5, b'{"a":"\\n\\n"}') + PING + PING + frame(6) + PING + frame(7, b'"\xc3\xa9"')
    for size in (1, 2, 3, 7, 64, len(data)):
        stream = state()
        for at in range(0, len(data), size):
            stream.feed(data[at : at + size])
        assert [(event.index, event.payload) for event in take_all(stream)] == [(5, {"a": "\n\n"}), (6, None), (7, "é")]


def test_a_delivered_event_shows_and_encodes_as_the_event_alone() -> None:
    stream = state()
    stream.feed(frame(1))
    event = stream.pop()
    assert event is not None
    assert event.consumer_id == "c_1"
    assert "connection" not in repr(event)
    assert msgspec.json.decode(msgspec.json.encode(event))["id"] == "e_1"


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
        stream.settled(event, acked(event))
    parameters, last_event_id = reconnected(stream)
    assert (parameters["start"], last_event_id) == ("2", "")
    stream.feed(b"".join(frame(index, attempts=1) for index in range(2, 7)))
    assert taken(stream) == [2, 5, 6]
    assert repeated(stream) == [("ack", ["e_3", "e_4"])]


def test_with_everything_settled_it_goes_on_after_the_last_event() -> None:
    stream = state(ack="manual")
    stream.feed(OPEN + frame(5, attempts=1))
    (event,) = take_all(stream)
    stream.settled(event, acked(event))
    assert reconnected(stream) == ({"subject": "app.*", "ack": "manual"}, "e_5")


def test_what_was_not_taken_yet_is_left_to_the_next_connection() -> None:
    stream = state(ack="manual", prefetch=3)
    stream.feed(frame(1, attempts=1) + frame(2, attempts=1))
    stream.disconnected()
    assert stream.pop() is None
    stream.connected(None, HEAD)
    stream.feed(frame(1, attempts=1) + frame(2, attempts=1))
    assert taken(stream) == [1, 2]


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


@pytest.mark.parametrize(("reason", "finished"), [("limit", True), ("tail", True), ("shutdown", False)])
def test_a_stream_is_finished_by_its_limit_or_tail_but_not_by_a_shutdown(reason: str, finished: bool) -> None:
    stream = state()
    stream.feed(encode_event("done", {"reason": reason}))
    assert stream.finished is finished


def test_a_gap_is_told_in_its_place() -> None:
    told: list[Gap | int] = []
    stream = state(on_gap=told.append)
    gap = encode_event("gap", {"reason": "expired", "first_missing": 2, "last_missing": 8, "next_index": 9})
    stream.feed(frame(1) + gap + frame(9))
    while (event := stream.pop()) is not None:
        told.append(event.index)
    assert told == [1, Gap(2, 8, 9), 9]


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


def test_a_gap_is_logged_when_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    stream = state()
    stream.feed(encode_event("gap", {"first_missing": 2, "last_missing": 8, "next_index": 9}))
    assert stream.pop() is None
    assert "events 2 to 8 are expired" in caplog.text


def test_a_dropped_event_is_settled() -> None:
    told: list[Dropped] = []
    stream = state(ack="manual", prefetch=2, on_dropped=told.append)
    stream.feed(frame(1, attempts=3) + frame(2, attempts=1))
    take_all(stream)
    stream.feed(encode_event("dropped", {"id": "e_1", "index": 1, "attempts": 3, "reason": "not acknowledged"}))
    assert stream.pop() is None
    assert told == [Dropped("e_1", 1, 3, "not acknowledged")]
    parameters, _ = reconnected(stream)
    assert parameters["start"] == "2"


def test_an_error_in_the_stream_is_raised_after_the_events_before_it() -> None:
    stream = state()
    stream.feed(frame(1) + encode_event("error", "segment 3 is damaged") + encode_event("done", {"reason": "error"}))
    assert stream.pop() is not None
    with pytest.raises(StorageError, match="segment 3 is damaged"):
        stream.pop()
    assert stream.finished


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


@pytest.mark.parametrize(
    ("option", "value", "written"),
    [
        ("start", 7, "7"),
        ("start", timedelta(minutes=15), "15m"),
        ("start", datetime(2026, 1, 31, 12, tzinfo=UTC), "2026-01-31T12:00:00+00:00"),
        ("redelivery", 0.25, "250ms"),
        ("redelivery", "1m30s", "1m30s"),
        ("redelivery", ["1s", 5, "30s"], "1s,5s,30s"),
        ("follow", False, "false"),
        ("prefetch", 3, "3"),
    ],
)
def test_options_are_written_as_the_server_reads_them(option: str, value: Any, written: str) -> None:
    assert dict(GetOptions(subjects=("app.*",), **{option: value}).parameters())[option] == written


def test_several_patterns_go_as_one_list() -> None:
    assert dict(GetOptions(subjects=("app.a", "app.b")).parameters()) == {"subject": "app.a,app.b"}


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidParameterError, match="has no time zone"):
        GetOptions(subjects=("app.*",), start=datetime(2026, 1, 31)).parameters()


def test_only_what_may_pass_is_waited_for() -> None:
    assert reconnects(ConnectionFailedError(""))
    assert reconnects(UnavailableError(""))
    assert not reconnects(UnknownNamespaceError(""))


def test_numbers_beyond_a_float_are_read_as_they_are() -> None:
    stream = state()
    stream.feed(frame(1, b"1e400") + frame(2, b'{"n":[%b,1]}' % (b"9" * 5000)) + frame(3))
    payloads = [event.payload for event in take_all(stream)]
    assert payloads == [Decimal("1e400"), {"n": [Decimal("9" * 5000), 1]}, None]


@pytest.mark.parametrize("payload", [b"1e999999999999999999999", b'"\xff"', b"[" * 9000 + b"]" * 9000, b"nonsense"])
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


@pytest.mark.parametrize(("heartbeat", "silence"), [({}, 45), ({"heartbeat": 15}, 45), ({"heartbeat": 120.5}, 361.5)])
def test_silence_is_measured_by_the_servers_heartbeat(heartbeat: dict[str, float], silence: float) -> None:
    stream = state()
    stream.feed(encode_event("open", {"consumer_id": "c_1", "next_index": 1, **heartbeat}))
    assert stream.silence == silence


def test_an_id_that_would_break_a_header_is_not_sent() -> None:
    stream = state()
    stream.feed(OPEN + frame(7).replace(b'"id":"e_7"', b'"id":"e_7\\r\\nX: 1"'))
    assert reconnected(stream) == ({"subject": "app.*", "start": "8"}, "")


def test_an_outage_is_told_once_with_its_reason_and_where_it_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bus.client")
    stream = state(start="oldest")
    stream.report_standing()
    stream.feed(frame(1))
    for _ in range(3):
        stream.disconnected()
        stream.report_lost(ConnectionFailedError("the server closed the stream"))
    stream.report_standing()
    stream.report_standing()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "the stream of app.* broke and will go on after event e_1: the server closed the stream"),
        ("INFO", "the stream of app.* is back"),
    ]


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
    stream.connected(None, HEAD)
    stream.feed(frame(1, attempts=1) + frame(2, attempts=1))
    assert taken(stream) == []
    assert [(said.action, said.reason, said.reply) for said in stream.late.due()] == [
        ("reject", "never", b""), ("ack", "", b"2"),
    ]  # fmt: skip


def test_terms_that_are_not_given_are_not_sent() -> None:
    for query in (GetOptions(subjects=("app.*",)), GetOptions(subjects=("app.*",), ack="manual", consumer="w")):
        assert not {"redelivery", "redelivery_count", "prefetch", "order"} & dict(query.parameters()).keys()
