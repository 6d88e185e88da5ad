"""Requests and confirmations: in one call with ``wait``, and by the two steps of the existing clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from bus.wire import NDJSON
from tests.faults.tracing import fault, needs_strace, tracing
from tests.server.support import acknowledge, dial, draft, metric, post, publish, read, refusal, stored, target, upload
from tests.support import Answer, ServerProcess, Stream, subscribe

pytestmark = pytest.mark.every_engine

RECEIPT = {"x-bus-event-id", "x-bus-event-created-at", "x-bus-event-index"}


def _ask(server: ServerProcess, subject: str, payload: Any = None, wait: str = "reply", **headers: str) -> Answer:
    return post(server, draft(subject, payload), f"?wait={wait}", **headers)


@contextmanager
def _in_background(call: Callable[..., Answer], *args: Any) -> Iterator[Future[Answer]]:
    with ThreadPoolExecutor(1) as caller:
        yield caller.submit(call, *args)


def _consumer(stream: Stream) -> str:
    return stream.headers["x-bus-consumer-id"]


@pytest.mark.parametrize("ack", ["manual", "none"])
@pytest.mark.parametrize("reply", [b'{"result": 30}', b"null", b'"\xc3\xa9"', b"[1e308,\n 2]"])
def test_a_reply_is_the_answer_to_the_request(bus: ServerProcess, subject: str, ack: str, reply: bytes) -> None:
    with subscribe(bus, subject, ack=ack) as service, _in_background(_ask, bus, subject, {"a": 10}) as asked:
        (event,) = service.take(1)
        assert acknowledge(bus, _consumer(service), event.id, body=reply).status == 202
        answer = asked.result()
        assert (answer.status, answer.body) == (200, reply.replace(b"\n", b""))
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-bus-event-id"] == event.id
        assert answer.headers.keys() >= RECEIPT


def test_a_request_carries_an_inbox_of_its_own(bus: ServerProcess, subject: str) -> None:
    with subscribe(bus, subject) as service, _in_background(_ask, bus, subject) as asked:
        event = msgspec.json.decode(service.take(1)[0].data)
        assert event["response_subject"].startswith("_bus_.")
        assert publish(bus, event["response_subject"], "by publishing").status == 202
        assert asked.result().body == b'"by publishing"'


def test_a_service_that_comes_later_can_still_reply(bus: ServerProcess, subject: str) -> None:
    with subscribe(bus, subject) as watcher, _in_background(_ask, bus, subject) as asked:
        watcher.take(1)
        with subscribe(bus, subject, start="oldest", ack="manual") as service:
            acknowledge(bus, _consumer(service), service.take(1)[0].id, body=b"1")
            assert asked.result().status == 200


def test_nobody_replies_in_time(bus: ServerProcess, subject: str) -> None:
    answer = _ask(bus, subject, wait="reply&timeout=50ms")
    status, text = refusal(answer)
    assert (status, "no reply within 0.05s" in text, "is stored" in text) == (504, True, True)
    (event,) = read(bus, subject)
    assert answer.headers["x-bus-event-id"] == event["id"]
    assert answer.headers.keys() >= RECEIPT


@needs_strace
def test_the_time_runs_from_when_the_event_is_stored(server: ServerProcess) -> None:
    """A time-out says that the event is stored, so it has to wait for a disk that is slower than it."""
    with tracing(server, *fault("fdatasync", "delay_exit=500000")):
        answer = _ask(server, "app.a", wait="reply&timeout=50ms")
    assert answer.status == 504
    assert answer.headers.keys() >= RECEIPT


def test_the_time_out_is_a_problem_with_the_headers_too(bus: ServerProcess, subject: str) -> None:
    answer = _ask(bus, subject, wait="reply&timeout=50ms", Accept="application/json")
    assert msgspec.json.decode(answer.body)["code"] == "timed-out"
    assert answer.headers.keys() >= RECEIPT


def test_an_error_of_the_service_reaches_the_requester(bus: ServerProcess, subject: str) -> None:
    with subscribe(bus, subject, ack="manual") as service, _in_background(_ask, bus, subject) as asked:
        event_id = service.take(1)[0].id
        acknowledge(bus, _consumer(service), event_id, action="reject", reason="can't divide by zero")
        assert refusal(asked.result()) == (502, "can't divide by zero")


def test_a_request_nobody_acknowledges_ends_in_an_error(bus: ServerProcess, subject: str) -> None:
    with (
        subscribe(bus, subject, ack="manual", redelivery="20ms", redelivery_count=2),
        _in_background(_ask, bus, subject) as asked,
    ):
        assert refusal(asked.result()) == (502, "not acknowledged within 20ms")


def test_many_requests_at_once_each_get_their_own_reply(bus: ServerProcess, subject: str) -> None:
    def ask(number: int) -> Answer:
        return _ask(bus, subject, number)

    def serve(service: Stream) -> None:
        for event in (msgspec.json.decode(found.data) for found in service.take(32)):
            acknowledge(bus, _consumer(service), event["id"], body=b"%d" % (event["payload"] * 2))

    with subscribe(bus, subject, ack="manual", prefetch=32) as service, ThreadPoolExecutor(33) as pool:
        serving = pool.submit(serve, service)
        answers = list(pool.map(ask, range(32)))
        serving.result()
    assert [int(answer.body) for answer in answers] == [number * 2 for number in range(32)]


def test_only_the_first_reply_counts(bus: ServerProcess, subject: str) -> None:
    with subscribe(bus, subject) as one, subscribe(bus, subject) as two, _in_background(_ask, bus, subject) as asked:
        for service, reply in ((one, b"1"), (two, b"2")):
            assert acknowledge(bus, _consumer(service), service.take(1)[0].id, body=reply).status == 202
        assert asked.result().body == b"1"


def test_a_reply_to_an_event_that_asks_for_none_is_refused_and_settles_nothing(
    bus: ServerProcess, subject: str
) -> None:
    event_id = stored(bus, subject)
    with subscribe(bus, subject, start="oldest", ack="manual", redelivery="50ms", redelivery_count=0) as stream:
        stream.take(1)
        assert refusal(acknowledge(bus, _consumer(stream), event_id, body=b"1"))[0] == 400
        assert msgspec.json.decode(stream.take(1)[0].data)["attempts"] == 2


def test_a_reply_answers_one_event(bus: ServerProcess, subject: str) -> None:
    ids = [stored(bus, subject, response_subject=f"_bus_.r{n}") for n in range(2)]
    with subscribe(bus, subject, start="oldest", ack="manual", prefetch=2) as stream:
        stream.take(2)
        assert refusal(acknowledge(bus, _consumer(stream), *ids, body=b"1"))[0] == 400


# -- confirmations


@pytest.mark.parametrize("ack", ["none", "manual"])
def test_a_publisher_waits_for_confirmations(bus: ServerProcess, subject: str, ack: str) -> None:
    confirmed = "confirm&count=2"
    with subscribe(bus, subject, ack=ack) as one, subscribe(bus, subject, ack=ack) as two:
        with _in_background(_ask, bus, subject, None, confirmed) as asked:
            for stream in (one, two):
                acknowledge(bus, _consumer(stream), stream.take(1)[0].id)
            answer = asked.result()
        assert answer.status == 200
        assert set(msgspec.json.decode(answer.body)["consumers"]) == {_consumer(one), _consumer(two)}
        assert answer.headers.keys() >= RECEIPT


def test_one_confirmation_is_what_is_waited_for_if_no_count_is_given(bus: ServerProcess, subject: str) -> None:
    with subscribe(bus, subject) as stream, _in_background(_ask, bus, subject, None, "confirm") as asked:
        acknowledge(bus, _consumer(stream), stream.take(1)[0].id)
        assert msgspec.json.decode(asked.result().body) == {"consumers": [_consumer(stream)]}


def test_a_consumer_confirms_once(bus: ServerProcess, subject: str) -> None:
    waiting = "confirm&count=2&timeout=1s"
    with subscribe(bus, subject) as stream, _in_background(_ask, bus, subject, None, waiting) as asked:
        event_id = stream.take(1)[0].id
        for _ in range(3):
            acknowledge(bus, _consumer(stream), event_id)
        status, text = refusal(asked.result())
        assert (status, "1 of 2 confirmations" in text) == (504, True)
        assert asked.result().headers["x-bus-event-id"] == event_id


def test_a_durable_consumer_confirms_by_its_name(bus: ServerProcess, subject: str) -> None:
    with (
        subscribe(bus, subject, ack="manual", consumer="confirmer") as stream,
        _in_background(_ask, bus, subject, None, "confirm") as asked,
    ):
        acknowledge(bus, _consumer(stream), stream.take(1)[0].id)
        assert msgspec.json.decode(asked.result().body) == {"consumers": ["confirmer"]}


def test_a_requester_that_leaves_is_forgotten(server: ServerProcess) -> None:
    body = draft("app.a")
    with dial(server) as peer, subscribe(server, "app.a") as service:
        peer.send(b"POST /?wait=reply HTTP/1.1\r\nHost: bus\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        event_id = service.take(1)[0].id
        peer.finish_sending()
    with subscribe(server, "app.a") as service:
        assert acknowledge(server, _consumer(service), event_id, body=b"1").status == 202
    assert publish(server, "app.a").status == 202


def test_other_requests_go_on_while_one_waits(bus: ServerProcess, subject: str) -> None:
    with subscribe(bus, subject) as service, _in_background(_ask, bus, subject) as asked:
        event_id = service.take(1)[0].id
        for _ in range(20):
            assert publish(bus, subject + ".other").status == 202
        assert not asked.done()
        acknowledge(bus, _consumer(service), event_id, body=b"1")


# -- two steps, as the Go client takes them


def test_a_request_in_two_steps(bus: ServerProcess, subject: str) -> None:
    inbox = "_bus_.two-steps"
    with subscribe(bus, subject) as service:
        event_id = stored(bus, subject, {"A": 10}, response_subject=inbox)
        (event,) = service.take(1)
        assert event.id == event_id
        assert publish(bus, inbox, {"Result": 30}).status == 202
        acknowledge(bus, _consumer(service), event_id)
    with subscribe(bus, inbox, start="oldest", ack="", redelivery="0s", limit=1) as replies:
        assert msgspec.json.decode(replies.take(1)[0].data)["payload"] == {"Result": 30}


@pytest.mark.parametrize("early", [True, False])
def test_confirmations_in_two_steps(bus: ServerProcess, subject: str, early: bool) -> None:
    inbox = f"_bus_.confirm-{early}".lower()
    stored(bus, subject, response_subject=inbox)
    with subscribe(bus, subject, start="oldest") as one, subscribe(bus, subject, start="oldest") as two:
        with subscribe(bus, inbox, start="oldest", limit=2) as replies:
            for stream in (one, two):
                acknowledge(bus, _consumer(stream), stream.take(1)[0].id, body=b"null")
            if early:
                assert [msgspec.json.decode(event.data)["payload"] for event in replies.take(2)] == [None, None]
        if not early:
            with subscribe(bus, inbox, start="oldest", limit=2) as late:
                assert len(late.take(2)) == 2


def test_replies_never_touch_the_log(server: ServerProcess) -> None:
    sizes = {path: path.stat().st_size for path in server.path.rglob("*") if path.is_file()}
    for number in range(50):
        publish(server, "_bus_.inbox", number)
    assert [event["payload"] for event in read(server, "_bus_.inbox")] == list(range(50))
    assert {path: path.stat().st_size for path in server.path.rglob("*") if path.is_file()} == sizes


def test_an_inbox_holds_so_many_unread_replies(bus: ServerProcess) -> None:
    answer = upload(bus, [draft("_bus_.full")] * 1100)
    assert [line.get("status", 202) for line in answer] == [202] * 1024 + [503] * 76
    assert publish(bus, "_bus_.full").headers["retry-after"] == "1"
    assert len(read(bus, "_bus_.full")) == 1024
    assert publish(bus, "_bus_.full").status == 202, "what was read is unread no more"


@pytest.mark.parametrize("accept", ["text/event-stream", NDJSON])
def test_a_requester_that_reads_its_inbox_gets_replies_without_end(bus: ServerProcess, accept: str) -> None:
    inbox = f"_bus_.kept-{len(accept)}"
    with dial(bus) as peer:
        wanted = target(inbox, start="oldest", limit=3000).encode()
        peer.send(b"GET %b HTTP/1.1\r\nHost: bus\r\nAccept: %b\r\n\r\n" % (wanted, accept.encode()))
        peer.answer(has_body=False)
        for _ in range(3):
            assert all("index" in line for line in upload(bus, [draft(inbox)] * 1000))
        assert b"".join(peer.chunks()).count(b'"subject":"%b"' % inbox.encode()) == 3000


def test_a_reader_of_an_inbox_that_comes_back_is_told_what_it_missed(bus: ServerProcess) -> None:
    ids = [line["id"] for line in upload(bus, [draft("_bus_.back")] * 1000)]
    with subscribe(bus, "_bus_.back", limit=1000) as stream:
        assert [event.id for event in stream.take(1000)] == ids
    with subscribe(bus, "_bus_.back", last_event_id=ids[989]) as stream:
        assert [event.id for event in stream.take(10)] == ids[990:]
    with subscribe(bus, "_bus_.back", last_event_id=ids[0]) as stream:
        (gap,) = stream.take(1, kind="gap")
        assert msgspec.json.decode(gap.data)["first_missing"] == 2


def test_full_inboxes_leave_room_for_others(bus: ServerProcess) -> None:
    """However many inboxes are filled with large replies, another still takes one."""
    large = draft("_bus_.large-0", "x" * 1_000_000)
    for number in range(24):
        upload(bus, [large.replace(b"large-0", b"large-%d" % number)] * 10)
    assert publish(bus, "_bus_.small", "x" * 10_000).status == 202
    assert metric(bus, "bus_inbox_bytes") <= 64 * 1024 * 1024
