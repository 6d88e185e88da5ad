"""``start=-N``: the last so many events that match, and on from there."""

from __future__ import annotations

import msgspec
import pytest

from tests.conftest import StartServer
from tests.server.support import post, publish, read, refusal, stored
from tests.support import ServerProcess, request, subscribe


@pytest.mark.every_engine
@pytest.mark.parametrize(("last", "found"), [(1, [9]), (3, [7, 8, 9]), (10, [*range(10)]), (99, [*range(10)])])
def test_a_stream_begins_with_the_last_events(bus: ServerProcess, subject: str, last: int, found: list[int]) -> None:
    for number in range(10):
        publish(bus, subject, number)
        publish(bus, f"{subject}.other", number)
    assert [event["payload"] for event in read(bus, subject, start=-last)] == found


@pytest.mark.every_engine
def test_it_goes_on_with_what_comes(bus: ServerProcess, subject: str) -> None:
    ids = [stored(bus, subject, number) for number in range(3)]
    with subscribe(bus, subject, start=-2) as stream:
        stream.take(2)
        later = stored(bus, subject, "later")
        assert [event.id for event in stream.take(1)] == [later]
    with subscribe(bus, subject, start=-1, last_event_id=ids[0]) as stream:
        assert [event.id for event in stream.take(3)] == [*ids[1:], later]


@pytest.mark.every_engine
def test_consumers_begin_there_too(bus: ServerProcess, subject: str) -> None:
    name = f"last-{subject.split('.')[1]}"
    ids = [stored(bus, subject, number) for number in range(4)]
    with subscribe(bus, subject, start=-2, ack="manual", prefetch=9) as stream:
        assert [event.id for event in stream.take(2)] == ids[2:]
    with subscribe(bus, subject, start=-3, ack="manual", consumer=name, prefetch=9) as stream:
        assert [event.id for event in stream.take(3)] == ids[1:]
    with subscribe(bus, subject, start=-1, ack="manual", consumer=name) as stream:
        assert [event.id for event in stream.take(1)] == ids[1:2], "it has a place already"
    made = msgspec.json.encode({"patterns": [subject], "start": "-1"})
    assert request(bus, "PUT", f"/v1/consumers/{name}-made", made).status == 201
    with subscribe(bus, subject, ack="manual", consumer=f"{name}-made") as stream:
        assert [event.id for event in stream.take(1)] == ids[3:]


def test_few_among_many_are_found_in_pieces(start_server: StartServer) -> None:
    server = start_server(flags=["--segment-size", "64KiB"])
    lines = [msgspec.json.encode({"subject": f"app.n{number % 1000}", "payload": number}) for number in range(5000)]
    assert post(server, b"\n".join(lines), Content_Type="application/x-ndjson").status == 202
    assert [event["payload"] for event in read(server, "app.n7", start=-3)] == [2007, 3007, 4007]
    assert read(server, "app.never", start=-3) == []


@pytest.mark.parametrize("start", ["-0", "-1.5", "-99999999999999999999"])
def test_what_is_no_number_of_events_is_refused(bus: ServerProcess, start: str) -> None:
    status, _ = refusal(request(bus, "GET", f"/?subject=app.a&start={start}"))
    assert status == 400


def test_an_undeclared_namespace_is_refused(bus: ServerProcess) -> None:
    assert request(bus, "GET", "/?subject=nowhere.a&start=-1").status == 404
