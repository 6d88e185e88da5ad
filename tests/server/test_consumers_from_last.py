"""Consumers that begin with ``start=last``: each subject's newest event is to be settled, and all that comes later."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.conftest import StartServer
from tests.server.support import acknowledge, post, publish, read, stored
from tests.support import Answer, ServerProcess, Stream, request, subscribe


def take(stream: Stream, count: int = 1) -> list[dict[str, Any]]:
    return [msgspec.json.decode(event.data) for event in stream.take(count)]


def settle(server: ServerProcess, stream: Stream, *events: dict[str, Any]) -> None:
    ids = [event["id"] for event in events]
    assert acknowledge(server, stream.headers["x-bus-consumer-id"], *ids).status == 202


def upload(server: ServerProcess, subjects: list[str], payload: object) -> None:
    lines = [msgspec.json.encode({"subject": subject, "payload": payload}) for subject in subjects]
    assert post(server, b"\n".join(lines), Content_Type="application/x-ndjson").status == 202


def about(server: ServerProcess, name: str) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(request(server, "GET", f"/v1/consumers/{name}").body)
    return found


@pytest.mark.embedded_only("start=last")
@pytest.mark.every_engine
@pytest.mark.parametrize("name", ["", "durable"])
def test_it_begins_with_the_newest_of_each_subject(bus: ServerProcess, subject: str, name: str) -> None:
    for each, payload in [("a", 1), ("b", 2), ("a", 3), ("c", 4), ("b", 5)]:
        publish(bus, f"{subject}.{each}", payload)
    durable: dict[str, Any] = {"consumer": name} if name else {}
    with subscribe(bus, f"{subject}.*", start="last", ack="manual", prefetch=2, **durable) as stream:
        first = take(stream, 2)
        later = [stored(bus, f"{subject}.{each}", payload) for each, payload in [("a", 6), ("a", 7)]]
        settle(bus, stream, *first)
        events = [*first, *take(stream, 2)]
        settle(bus, stream, *events[2:])
        assert [event["payload"] for event in events] == [3, 4, 5, 6]
        assert take(stream)[0]["id"] == later[1]


@pytest.mark.embedded_only("start=last")
@pytest.mark.every_engine
def test_what_is_superseded_counts_as_settled(bus: ServerProcess, subject: str) -> None:
    ids = [stored(bus, f"{subject}.{each}") for each in "aabab"]
    body = msgspec.json.encode({"patterns": [f"{subject}.*"], "start": "last"})
    made = request(bus, "PUT", "/v1/consumers/settled", body)
    assert (made.status, msgspec.json.decode(made.body)["behind"]) == (201, 2)
    with subscribe(bus, f"{subject}.*", consumer="settled", ack="manual", prefetch=5) as stream:
        assert [event["id"] for event in take(stream, 2)] == ids[3:]
        assert (about(bus, "settled")["behind"], about(bus, "settled")["pending"]) == (0, 2)
        assert acknowledge(bus, stream.headers["x-bus-consumer-id"], ids[0], ids[2]).status == 202


@pytest.mark.embedded_only("start=last")
@pytest.mark.every_engine
def test_one_that_gets_another_event_meanwhile_is_met_later(bus: ServerProcess, subject: str) -> None:
    upload(bus, [f"{subject}.{each}" for each in "abc"], 0)
    with subscribe(bus, f"{subject}.*", start="last", ack="manual") as stream:
        events = take(stream)
        publish(bus, f"{subject}.b", 1)
        while events[-1]["payload"] == 0:
            settle(bus, stream, events[-1])
            events += take(stream)
        assert {event["subject"][-1] for event in events} == set("abc")
        assert events[-1]["subject"] == f"{subject}.b"


@pytest.mark.embedded_only("start=last")
@pytest.mark.every_engine
def test_a_move_ends_it(bus: ServerProcess, subject: str) -> None:
    first = stored(bus, f"{subject}.a")
    upload(bus, [f"{subject}.{each}" for each in "aabab"], 0)
    with subscribe(bus, f"{subject}.*", start="last", consumer="moved", ack="manual", prefetch=1) as stream:
        (event,) = take(stream)
        on = move(bus, "moved", event["index"] + 2, "?dry_run=true")
        assert msgspec.json.decode(on.body)["skips"] == 2
        assert move(bus, "moved", "oldest").status == 200
        assert take(stream)[0]["id"] == first
        settle(bus, stream, {"id": first})
        assert take(stream)[0]["index"] == event["index"] - 3


def move(server: ServerProcess, name: str, to: object, query: str = "") -> Answer:
    return request(server, "POST", f"/v1/consumers/{name}/position{query}", msgspec.json.encode({"to": to}))


@pytest.mark.parametrize("flags", [[], ["--secret-key", "k"]])
def test_it_goes_on_over_crashes(start_server: StartServer, flags: list[str]) -> None:
    """The server is killed again and again while a consumer catches up, and subjects go on changing."""
    server = start_server(flags=["--segment-size", "64KiB", *flags])
    names = [f"app.n{number}" for number in range(2000)]
    upload(server, names + names, "old")
    upload(server, names, "newest")
    settled: dict[str, list[tuple[int, str]]] = {name: [] for name in names}

    def note(stream: Stream, events: list[dict[str, Any]]) -> None:
        settle(server, stream, *events)
        for event in events:
            settled[event["subject"]].append((event["index"], event["payload"]))

    for crash in range(6):
        with subscribe(server, "app.*", start="last", consumer="c", ack="manual", prefetch=300) as stream:
            note(stream, take(stream, 150))
            note(stream, take(stream, 150))
            upload(server, names[crash::7], f"later {crash}")
            server.restart()
    with subscribe(server, "app.*", start="last", consumer="c", ack="manual", follow="false") as stream:
        while (event := stream.next()).kind != "done":
            if event.kind == "msg":
                note(stream, [msgspec.json.decode(event.data)])
    newest = {event["subject"]: event["payload"] for event in read(server, "app.*")}
    assert {name: max(found)[1] for name, found in settled.items()} == newest
    assert "old" not in {payload for found in settled.values() for _, payload in found}
    assert about(server, "c")["behind"] == 0
