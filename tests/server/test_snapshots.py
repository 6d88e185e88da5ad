"""``start=last``: the newest event of every subject that matches, and then what comes."""

from __future__ import annotations

import msgspec
import pytest

from tests.conftest import StartServer
from tests.server.support import post, publish, read, stored
from tests.support import ServerProcess, request, subscribe


@pytest.mark.embedded_only("start=last")
@pytest.mark.every_engine
def test_a_stream_begins_with_the_newest_of_each_subject(bus: ServerProcess, subject: str) -> None:
    for name, payload in [("a", 1), ("b", 2), ("a", 3), ("c.d", 4), ("b", 5)]:
        publish(bus, f"{subject}.{name}", payload)
    assert [event["payload"] for event in read(bus, f"{subject}.>", start="last")] == [3, 4, 5]
    assert [event["payload"] for event in read(bus, f"{subject}.*", start="last")] == [3, 5]
    assert [event["payload"] for event in read(bus, f"{subject}.*", start="last", limit=1)] == [3]
    names = f"{subject}.c.d,{subject}.a,{subject}.none"
    assert [event["payload"] for event in read(bus, names, start="last")] == [3, 4]


@pytest.mark.embedded_only("start=last")
@pytest.mark.every_engine
def test_it_goes_on_with_all_that_comes(bus: ServerProcess, subject: str) -> None:
    first, second = stored(bus, f"{subject}.a"), stored(bus, f"{subject}.a")
    with subscribe(bus, f"{subject}.>", start="last") as stream:
        assert [event.id for event in stream.take(1)] == [second]
        later = [stored(bus, f"{subject}.{name}") for name in "aab"]
        assert [event.id for event in stream.take(3)] == later
    with subscribe(bus, f"{subject}.>", start="last", last_event_id=first) as stream:
        assert [event.id for event in stream.take(4)] == [second, *later]


@pytest.mark.parametrize("flags", [[], ["--secret-key", "k"]])
def test_it_is_found_where_it_lies(start_server: StartServer, flags: list[str]) -> None:
    """Thousands of subjects, some newest events deleted, some expired, over many segments and a restart."""
    server = start_server(flags=["--segment-size", "64KiB", *flags])
    lines = [msgspec.json.encode({"subject": f"app.n{number % 3000}", "payload": number}) for number in range(7000)]
    assert post(server, b"\n".join(lines), Content_Type="application/x-ndjson").status == 202
    deleted = request(server, "DELETE", "/v1/events?subject=app.n7")
    assert deleted.status == 200
    publish(server, "app.n8", "over", ttl="1ms")
    found = [event["payload"] for event in read(server, "app.>", start="last")]
    assert found == [number for number in range(4000, 7000) if number % 3000 not in (7, 8)]
    server.restart()
    assert [event["payload"] for event in read(server, "app.>", start="last")] == found


def test_what_is_published_meanwhile_is_not_lost(server: ServerProcess) -> None:
    """Each subject ends with its newest event, whatever was published while the snapshot was on its way."""
    names = [f"app.busy.n{number}" for number in range(2000)]
    lines = [msgspec.json.encode({"subject": name, "payload": 0}) for name in names]
    assert post(server, b"\n".join(lines), Content_Type="application/x-ndjson").status == 202
    with subscribe(server, "app.busy.*", start="last") as stream:
        stream.take(1)
        again = [msgspec.json.encode({"subject": name, "payload": 1}) for name in names]
        assert post(server, b"\n".join(again), Content_Type="application/x-ndjson").status == 202
        seen: dict[str, int] = {}
        while set(seen.values()) != {1} or len(seen) < len(names):
            event = msgspec.json.decode(stream.take(1)[0].data)
            assert event["payload"] >= seen.get(event["subject"], 0)
            seen[event["subject"]] = event["payload"]
