"""Two Bus servers in front of the same events: whatever is done at one is known at the other."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from bus.sse import ServerSentEvent
from tests.jetstream.conftest import StartBus
from tests.nats.servers import Servers
from tests.support import ServerProcess, Stream, request, subscribe


@pytest.fixture
def pair(node: Servers, start_bus: StartBus) -> tuple[ServerProcess, ServerProcess]:
    return start_bus(node), start_bus(node)


def _settle(stream: Stream, event: ServerSentEvent) -> str:
    """The target that acknowledges *event* of *stream*."""
    return f"/?consumer_id={stream.headers['x-bus-consumer-id']}&event_id={event.id}"


Pair = tuple[ServerProcess, ServerProcess]


def test_what_one_stores_the_other_delivers(pair: Pair) -> None:
    one, other = pair
    with subscribe(other, "app.>") as stream:
        stored = request(one, "POST", "/", b'{"subject": "app.a", "payload": 1}')
        (event,) = stream.take(1)
    assert event.id == stored.headers["x-bus-event-id"]


def test_what_is_stored_at_one_is_in_a_replay_at_the_other_at_once(pair: Pair) -> None:
    one, other = pair
    for number in range(50):
        request(one, "POST", "/", b'{"subject": "app.a", "payload": %d}' % number)
        with subscribe(other, "app.a", start="oldest", follow="false") as stream:
            assert len([event for event in stream.rest() if event.kind == "msg"]) == number + 1


def test_a_stream_is_resumed_at_the_other(pair: Pair) -> None:
    one, other = pair
    ids = [request(one, "POST", "/", b'{"subject": "app.a", "payload": 1}').headers["x-bus-event-id"] for _ in range(3)]
    with subscribe(other, "app.a", last_event_id=ids[0]) as stream:
        assert [event.id for event in stream.take(2)] == ids[1:]


def test_a_key_counts_at_both(pair: Pair) -> None:
    one, other = pair
    keyed = b'{"subject": "app.a", "key": "k"}'
    first, again = request(one, "POST", "/", keyed), request(other, "POST", "/", keyed)
    assert (first.status, again.status) == (202, 409)
    assert first.headers["x-bus-event-id"] == again.headers["x-bus-event-id"]


def test_an_acknowledgement_may_go_to_the_other(pair: Pair) -> None:
    one, other = pair
    with subscribe(one, "app.>", ack="manual") as stream:
        for number in (1, 2):
            request(other, "POST", "/", b'{"subject": "app.a", "payload": %d}' % number)
        (first,) = stream.take(1)
        answer = request(other, "PUT", _settle(stream, first))
        assert answer.status == 202
        (second,) = stream.take(1)
    assert json.loads(second.data)["payload"] == 2


def test_a_consumer_that_neither_has_is_404(pair: Pair) -> None:
    answer = request(pair[0], "PUT", "/?consumer_id=c_none&event_id=e_none")
    assert (answer.status, b"doesn't exist" in answer.body) == (404, True)


@pytest.mark.parametrize("reply", [b'{"result": 2}', b"null", b'"text"'])
@pytest.mark.parametrize("by", [0, 1], ids=["the server that asks", "the server that delivers"])
def test_a_request_at_one_is_delivered_at_the_other_and_answered_at_either(pair: Pair, by: int, reply: bytes) -> None:
    one, other = pair
    with subscribe(other, "app.add", ack="manual") as stream, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(request, one, "POST", "/?wait=reply&timeout=10s", b'{"subject": "app.add", "payload": 1}')
        (event,) = stream.take(1)
        assert request(pair[by], "PUT", _settle(stream, event), reply).status == 202
        assert asked.result().body == reply


def test_a_reason_goes_to_the_other(pair: Pair) -> None:
    one, other = pair
    with subscribe(one, "app.>", ack="manual", redelivery_count=1) as stream, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(request, other, "POST", "/?wait=reply&timeout=10s", b'{"subject": "app.add"}')
        (event,) = stream.take(1)
        refused = request(other, "PUT", _settle(stream, event) + "&action=reject&reason=too+late")
        assert refused.status == 202
        assert b"too late" in asked.result().body


def test_a_delay_goes_to_the_other(pair: Pair) -> None:
    """With none it would come at once: an hour is longer than the event that is behind it takes."""
    one, other = pair
    with subscribe(one, "app.>", ack="manual") as stream:
        for number in (1, 2):
            request(other, "POST", "/", b'{"subject": "app.a", "payload": %d}' % number)
        (first,) = stream.take(1)
        assert request(other, "PUT", _settle(stream, first) + "&action=nack&delay=1h").status == 202
        (second,) = stream.take(1)
    assert json.loads(second.data)["payload"] == 2


def test_a_publisher_at_one_hears_of_confirmations_at_the_other(pair: Pair) -> None:
    one, other = pair
    with subscribe(other, "app.a", ack="manual") as stream, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(request, one, "POST", "/?wait=confirm&timeout=10s", b'{"subject": "app.a"}')
        (event,) = stream.take(1)
        request(other, "PUT", _settle(stream, event))
        answer = asked.result()
    assert (answer.status, stream.headers["x-bus-consumer-id"].encode() in answer.body) == (200, True)


def test_racing_conditional_publishers_are_met_once(pair: Pair) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(
            lambda number: request(pair[number % 2], "POST", "/?expect_subject=0", b'{"subject": "app.race"}').status,
            range(16),
        )
    assert sorted(answers) == [202] + [412] * 15
