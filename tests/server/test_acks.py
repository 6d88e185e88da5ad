"""Acknowledging: deliveries under ``ack=manual``, redelivery, and what else can be said of a delivery."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bus.sse import ServerSentEvent
from tests.server.support import acknowledge, publish, refusal, stored
from tests.support import ServerProcess, Stream, request, subscribe

pytestmark = pytest.mark.every_engine


def _events(stream: Stream, count: int) -> list[dict[str, Any]]:
    return [_json(event) for event in stream.take(count)]


def _json(event: ServerSentEvent) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(event.data)
    return found


def _consumer(stream: Stream) -> str:
    return stream.headers["x-bus-consumer-id"]


def test_each_delivery_says_which_attempt_it_is(bus: ServerProcess, subject: str) -> None:
    event_id = stored(bus, subject)
    with subscribe(bus, subject, start="oldest", ack="manual", redelivery="50ms", redelivery_count=0) as stream:
        events = _events(stream, 4)
    assert [(event["id"], event["attempts"]) for event in events] == [(event_id, n) for n in (1, 2, 3, 4)]


def test_without_acknowledging_there_is_no_attempt(bus: ServerProcess, subject: str) -> None:
    publish(bus, subject)
    with subscribe(bus, subject, start="oldest") as stream:
        assert "attempts" not in _events(stream, 1)[0]


def test_the_next_event_comes_once_the_one_before_is_acknowledged(bus: ServerProcess, subject: str) -> None:
    ids = [stored(bus, subject) for _ in range(5)]
    with subscribe(bus, subject, start="oldest", ack="manual", redelivery="1m", limit=5) as stream:
        for expected in ids:
            (event,) = _events(stream, 1)
            assert (event["id"], event["attempts"]) == (expected, 1)
            answer = acknowledge(bus, _consumer(stream), expected)
            assert (answer.status, answer.body) == (202, b"")
        assert [event.kind for event in stream.rest()] == ["done"]


def test_strict_order_waits_for_redelivery(bus: ServerProcess, subject: str) -> None:
    ids = [stored(bus, subject) for _ in range(2)]
    with subscribe(bus, subject, start="oldest", ack="manual", redelivery="50ms", redelivery_count=3) as stream:
        assert [event["id"] for event in _events(stream, 4)] == [ids[0]] * 3 + [ids[1]]


def test_an_event_given_up_is_reported_and_the_next_one_follows(bus: ServerProcess, subject: str) -> None:
    ids = [stored(bus, subject) for _ in range(2)]
    with subscribe(bus, subject, start="oldest", ack="manual", redelivery="50ms", redelivery_count=2) as stream:
        taken = [stream.next() for _ in range(5)]
    assert [event.kind for event in taken] == ["open", "msg", "msg", "dropped", "msg"]
    dropped = _json(taken[3])
    assert dropped["id"] == ids[0]
    assert (dropped["index"], dropped["attempts"]) == (_json(taken[1])["index"], 2)
    assert dropped["reason"] == "not acknowledged within 50ms"
    assert _json(taken[4])["id"] == ids[1]


def test_redelivery_backs_off_by_a_list(bus: ServerProcess, subject: str) -> None:
    publish(bus, subject)
    with subscribe(
        bus, subject, start="oldest", ack="manual", redelivery="10ms,20ms,30ms", redelivery_count=4
    ) as stream:
        assert [event["attempts"] for event in _events(stream, 4)] == [1, 2, 3, 4]
        (dropped,) = stream.take(1, "dropped")
    assert _json(dropped)["reason"] == "not acknowledged within 30ms"


def test_a_late_acknowledgement_counts(bus: ServerProcess, subject: str) -> None:
    ids = [stored(bus, subject) for _ in range(2)]
    with subscribe(bus, subject, start="oldest", ack="manual", redelivery="50ms", redelivery_count=0) as stream:
        _events(stream, 3)
        assert acknowledge(bus, _consumer(stream), ids[0]).status == 202
        while (event := _events(stream, 1)[0])["id"] == ids[0]:
            pass
        assert (event["id"], event["attempts"]) == (ids[1], 1)


def test_an_acknowledgement_after_the_event_was_given_up_is_404(bus: ServerProcess, subject: str) -> None:
    event_id = stored(bus, subject)
    with subscribe(bus, subject, start="oldest", ack="manual", redelivery="10ms", redelivery_count=1) as stream:
        stream.take(1, "dropped")
        status, text = refusal(acknowledge(bus, _consumer(stream), event_id))
        assert (status, "was given up" in text) == (404, True)


def test_acknowledging_twice_is_fine(bus: ServerProcess, subject: str) -> None:
    event_id = stored(bus, subject)
    with subscribe(bus, subject, start="oldest", ack="manual") as stream:
        stream.take(1)
        assert [acknowledge(bus, _consumer(stream), event_id).status for _ in range(3)] == [202, 202, 202]


@pytest.mark.parametrize("event_id", ["e_00000000ffffaaaaaaaaaa", "someone-else"])
@pytest.mark.parametrize("ack", ["manual", "none"])
def test_an_event_that_does_not_exist_is_404(bus: ServerProcess, subject: str, ack: str, event_id: str) -> None:
    with subscribe(bus, subject, ack=ack) as stream:
        assert refusal(acknowledge(bus, _consumer(stream), event_id))[0] == 404


def test_an_event_that_was_not_delivered_yet_is_404(bus: ServerProcess, subject: str) -> None:
    ids = [stored(bus, subject) for _ in range(2)]
    with subscribe(bus, subject, start="oldest", ack="manual") as stream:
        stream.take(1)
        assert acknowledge(bus, _consumer(stream), ids[1]).status == 404


def test_who_does_not_have_to_acknowledge_may(bus: ServerProcess, subject: str) -> None:
    event_id = stored(bus, subject)
    with subscribe(bus, subject, start="oldest") as stream:
        stream.take(1)
        assert acknowledge(bus, _consumer(stream), event_id).status == 202


def test_a_consumer_is_gone_with_its_stream(bus: ServerProcess, subject: str) -> None:
    event_id = stored(bus, subject)
    with subscribe(bus, subject, start="oldest", ack="manual", limit=1) as stream:
        stream.take(1)
        consumer_id = _consumer(stream)
        acknowledge(bus, consumer_id, event_id)
        stream.rest()
    assert refusal(acknowledge(bus, consumer_id, event_id))[0] == 404


def test_a_window_holds_so_many_events(bus: ServerProcess, subject: str) -> None:
    ids = [stored(bus, subject) for _ in range(10)]
    with subscribe(bus, subject, start="oldest", ack="manual", prefetch=4, redelivery="1m") as stream:
        assert [event["id"] for event in _events(stream, 4)] == ids[:4]
        acknowledge(bus, _consumer(stream), ids[2])
        assert [event["id"] for event in _events(stream, 1)] == ids[4:5]
        acknowledge(bus, _consumer(stream), ids[0], ids[4])
        assert [event["id"] for event in _events(stream, 2)] == ids[5:7]


@pytest.mark.parametrize("repeated", [False, True])
def test_events_are_acknowledged_in_batches(bus: ServerProcess, subject: str, repeated: bool) -> None:
    ids = [stored(bus, subject) for _ in range(100)]
    with subscribe(bus, subject, start="oldest", ack="manual", prefetch=50, limit=100) as stream:
        for part in (ids[:50], ids[50:]):
            assert [event["id"] for event in _events(stream, 50)] == part
            named = "&".join(f"event_id={event_id}" for event_id in part) if repeated else "event_id=" + ",".join(part)
            assert request(bus, "PUT", f"/?consumer_id={_consumer(stream)}&{named}").status == 202
        assert stream.rest()[-1].kind == "done"


def test_a_batch_with_an_unknown_event_settles_the_others_and_says_so(bus: ServerProcess, subject: str) -> None:
    event_id = stored(bus, subject)
    with subscribe(bus, subject, start="oldest", ack="manual", limit=1) as stream:
        stream.take(1)
        status, text = refusal(acknowledge(bus, _consumer(stream), "unknown", event_id))
        assert (status, "1 of 2 events refused" in text) == (404, True)
        assert stream.rest()[-1].kind == "done"


def test_nack_delivers_again_at_once(bus: ServerProcess, subject: str) -> None:
    event_id = stored(bus, subject)
    with subscribe(bus, subject, start="oldest", ack="manual", redelivery="1h") as stream:
        for attempt in (1, 2):
            assert _events(stream, 1)[0]["attempts"] == attempt
            assert acknowledge(bus, _consumer(stream), event_id, action="nack", reason="not yet").status == 202
        assert _events(stream, 1)[0]["attempts"] == 3
        acknowledge(bus, _consumer(stream), event_id, action="nack", reason="never\nmind")
        assert _json(stream.take(1, "dropped")[0])["reason"] == "never mind"


def test_nack_with_a_delay_lets_others_go_first(bus: ServerProcess, subject: str) -> None:
    ids = [stored(bus, subject) for _ in range(3)]
    with subscribe(bus, subject, start="oldest", ack="manual", redelivery="1h") as stream:
        stream.take(1)
        acknowledge(bus, _consumer(stream), ids[0], action="nack", delay="1s")
        for expected in ids[1:]:
            assert _events(stream, 1)[0]["id"] == expected
            acknowledge(bus, _consumer(stream), expected)
        (event,) = _events(stream, 1)
        assert (event["id"], event["attempts"]) == (ids[0], 2)


def test_extend_keeps_an_event_from_being_redelivered(bus: ServerProcess, subject: str) -> None:
    ids = [stored(bus, subject) for _ in range(2)]
    with subscribe(bus, subject, start="oldest", ack="manual", redelivery="1s", prefetch=2) as stream:
        stream.take(2)
        assert acknowledge(bus, _consumer(stream), ids[0], action="extend", delay="1h").status == 202
        assert [event["id"] for event in _events(stream, 1)] == [ids[1]]


def test_reject_gives_an_event_up_at_once(bus: ServerProcess, subject: str) -> None:
    ids = [stored(bus, subject) for _ in range(2)]
    with subscribe(bus, subject, start="oldest", ack="manual", redelivery="1h") as stream:
        stream.take(1)
        assert acknowledge(bus, _consumer(stream), ids[0], action="reject", reason="wrong shape").status == 202
        assert [stream.next().kind for _ in range(2)] == ["dropped", "msg"]


def test_events_are_still_in_the_log_after_they_were_given_up(bus: ServerProcess, subject: str) -> None:
    event_id = stored(bus, subject)
    with subscribe(bus, subject, start="oldest", ack="manual", redelivery="1h") as stream:
        stream.take(1)
        acknowledge(bus, _consumer(stream), event_id, action="reject")
        stream.take(1, "dropped")
    with subscribe(bus, subject, start="oldest", limit=1) as stream:
        assert stream.take(1)[0].id == event_id


def test_consumers_do_not_share_events(bus: ServerProcess, subject: str) -> None:
    event_id = stored(bus, subject)
    with (
        subscribe(bus, subject, start="oldest", ack="manual") as one,
        subscribe(bus, subject, start="oldest", ack="manual") as other,
    ):
        assert [one.take(1)[0].id, other.take(1)[0].id] == [event_id] * 2
        acknowledge(bus, _consumer(one), event_id)
        assert acknowledge(bus, _consumer(other), event_id).status == 202


def test_ndjson_can_be_acknowledged_too(bus: ServerProcess, subject: str) -> None:
    ids = [stored(bus, subject) for _ in range(2)]
    path = f"/?subject={subject}&start=oldest&ack=manual&redelivery=20ms&redelivery_count=2&limit=2"
    lines = request(bus, "GET", path, Accept="application/x-ndjson").body.splitlines()
    events = [msgspec.json.decode(line) for line in lines]
    assert [(event["id"], event["attempts"]) for event in events][:2] == [(ids[0], 1), (ids[0], 2)]
