"""A subscription over broken connections, with lists of bytes as the network."""

from __future__ import annotations

import logging

import msgspec
import pytest

from bus.client.core.retry import reconnects
from bus.client.core.stream_notices import Dropped, Gap
from bus.errors import (
    BusError,
    ConnectionFailedError,
    ForbiddenError,
    StorageError,
    UnauthorizedError,
    UnavailableError,
    UnknownNamespaceError,
)
from bus.sse import PING, encode_event
from tests.client.streams import OPEN, frame, reconnected, state, take_all


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


def test_only_what_may_pass_is_waited_for() -> None:
    assert reconnects(ConnectionFailedError(""))
    assert reconnects(UnavailableError(""))
    assert not reconnects(UnknownNamespaceError(""))


@pytest.mark.parametrize(("heartbeat", "silence"), [({}, 45), ({"heartbeat": 15}, 45), ({"heartbeat": 120.5}, 361.5)])
def test_silence_is_measured_by_the_servers_heartbeat(heartbeat: dict[str, float], silence: float) -> None:
    stream = state()
    stream.feed(encode_event("open", {"consumer_id": "c_1", "next_index": 1, **heartbeat}))
    assert stream.silence == silence


def test_an_outage_is_told_once_with_its_reason_and_where_it_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bus.client")
    stream = state(start="oldest")
    stream.feed(OPEN + frame(1))
    for _ in range(3):
        stream.disconnected()
        assert stream.goes_on(ConnectionFailedError("the server closed the stream"))
    reconnected(stream)
    stream.feed(OPEN)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "the stream of app.* broke and will go on after event e_1: the server closed the stream"),
        ("INFO", "the stream of app.* is back"),
    ]


@pytest.mark.parametrize("kind", [ForbiddenError, StorageError])
def test_an_error_is_raised_as_what_its_code_says(kind: type[BusError]) -> None:
    stream = state()
    stream.feed(encode_event("error", "it ends", code=kind.code))
    with pytest.raises(kind, match="it ends") as raised:
        stream.pop()
    assert type(raised.value) is kind and stream.finished


def test_a_stream_whose_token_is_over_is_taken_up_again_with_another() -> None:
    stream = state()
    with pytest.raises(ConnectionFailedError, match="it has expired") as raised:
        stream.feed(frame(1) + encode_event("error", "it has expired", code=UnauthorizedError.code))
    assert reconnects(raised.value) and not stream.finished
    stream.disconnected()
    assert stream.pop() is not None
    assert reconnected(stream)[1] == "e_1"


@pytest.mark.parametrize("code", ["", "unheard-of"])
def test_an_error_without_a_known_code_is_one_of_storage(code: str) -> None:
    stream = state()
    stream.feed(encode_event("error", "it ends", code=code))
    with pytest.raises(StorageError, match="it ends"):
        stream.pop()
