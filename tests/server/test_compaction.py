"""A namespace that is compacted has the newest event of each subject, or subject and key, for all who read it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from tests.conftest import StartServer
from tests.server.support import acknowledge, draft, publish, read, stored, upload, with_limits
from tests.support import ServerProcess, request, run_bus, subscribe

OFTEN = with_limits(RETENTION_SECONDS=0.05)
SMALL = ["--segment-size", "16KiB"]
FILLER = "x" * 400


def start(start_server: StartServer, *flags: str, namespaces: tuple[str, ...] = ("app",), **env: str) -> ServerProcess:
    return start_server(flags=[*SMALL, *flags], namespaces=namespaces, wrapper=OFTEN, env=env)


def fill(server: ServerProcess, events: int = 300, *, namespace: str = "app", end: int = 300, **fields: str) -> None:
    """Publish the numbers before *end* to ten subjects by turns."""
    numbers = range(end - events, end)
    lines = [draft(f"{namespace}.n{number % 10}", [number, FILLER], **fields) for number in numbers]
    assert all("index" in receipt for receipt in upload(server, lines))


def latest(server: ServerProcess, pattern: str) -> dict[str, int]:
    """What a reader takes for the newest of each subject."""
    return {event["subject"]: event["payload"][0] for event in read(server, pattern) if event["payload"] is not None}


def about(server: ServerProcess, namespace: str = "app") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request(server, "GET", f"/v1/namespaces/{namespace}").body)
    return found


def wait_until_compacted(server: ServerProcess, namespace: str = "app") -> None:
    """Have two compactions come to an end, of which the second knows all that was there before.

    Each has to be worth it: the log grows to twice what it was.
    """
    for _ in range(2):
        before = about(server, namespace)
        fill(server, 300 + before["bytes"] // len(FILLER) // 10 * 10, namespace=namespace)
        while about(server, namespace)["compactions"] == before["compactions"]:
            """It is under way."""


@pytest.mark.parametrize("kind", ["app", "live:memory", "sealed"])
def test_the_newest_of_each_subject_is_left(start_server: StartServer, kind: str) -> None:
    name = kind.partition(":")[0]
    env = {"BUS_SECRET_KEY": "a secret"} if kind == "sealed" else {}
    server = start(start_server, "--compact", f"{name}=subject", namespaces=(kind,), **env)
    fill(server, namespace=name)
    server.wait_for_log(f"namespace {name}: compacted up to event")
    newest = {f"{name}.n{number % 10}": number for number in range(290, 300)}
    assert latest(server, f"{name}.>") == newest
    assert len(read(server, f"{name}.>")) < 300
    found = about(server, name)
    assert found["compact"] == "subject" and found["compactions"] >= 1 and found["compacted_bytes"] > 20_000
    assert b"bus_compacted_bytes_total" in request(server, "GET", "/metrics").body
    if kind != "live:memory":
        server.restart()
        assert latest(server, f"{name}.>") == newest
        verified = run_bus("verify", "--path", str(server.path), env=env)
        assert verified.returncode == 0, verified.stdout


def test_a_log_takes_about_twice_what_it_keeps(start_server: StartServer) -> None:
    server = start(start_server, "--compact", "app=subject")
    for _ in range(20):
        fill(server)
        wait_until_compacted(server)
    found = about(server)
    assert (found["next_index"] > 6000, found["segments"] < 10, found["bytes"] < 100_000) == (True, True, True), found
    assert len(list(server.path.glob("app/*.log"))) == found["segments"]


def test_a_null_payload_deletes_and_is_gone_after_its_time(start_server: StartServer) -> None:
    server = start(start_server, "--compact", "app=subject", "--tombstone-ttl", "1ms")
    publish(server, "app.gone", "a secret")
    publish(server, "app.gone", None)
    fill(server)
    wait_until_compacted(server)
    wait_until_compacted(server)
    assert read(server, "app.gone") == []
    assert not any(b"app.gone" in file.read_bytes() for file in server.path.glob("app/*"))


def test_a_tombstone_stays_its_time(start_server: StartServer) -> None:
    server = start(start_server, "--compact", "app=subject")
    publish(server, "app.gone", "a secret")
    publish(server, "app.gone", None)
    fill(server)
    wait_until_compacted(server)
    assert [event["payload"] for event in read(server, "app.gone")] == [None]


def test_by_key_the_same_key_comes_again_and_again(start_server: StartServer) -> None:
    server = start(start_server, "--compact", "app=key")
    publish(server, "app.changed", "no key")
    for _ in range(3):
        fill(server, key="17")
    fill(server, 10, end=1010, key="18")
    wait_until_compacted(server)
    found = [(event["subject"], event["payload"][0]) for event in read(server, "app.>") if event.get("key") == "18"]
    assert found == [(f"app.n{number % 10}", number) for number in range(1000, 1010)]
    assert [event["payload"] for event in read(server, "app.changed")] == ["no key"]
    assert len([event for event in read(server, "app.>") if event.get("key") == "17"]) < 100


def test_by_subject_a_key_stays_used(start_server: StartServer) -> None:
    server = start(start_server, "--compact", "app=subject")
    publish(server, "app.a", key="once")
    publish(server, "app.a", "newer")
    fill(server)
    wait_until_compacted(server)
    server.restart()
    assert publish(server, "app.a", key="once").status == 409


def test_a_reader_that_is_under_way_gets_the_newest_of_each(start_server: StartServer) -> None:
    server = start(start_server, "--compact", "app=subject")
    fill(server, 20)
    with subscribe(server, "app.>", start="oldest") as stream:
        stream.take(5)
        fill(server)
        wait_until_compacted(server)
        stored(server, "app.end", [0])
        newest: dict[str, int] = {}
        while "app.end" not in newest:
            (event,) = stream.take(1)
            found = msgspec.json.decode(event.data)
            newest[found["subject"]] = found["payload"][0]
    assert newest == {"app.end": 0} | {f"app.n{number % 10}": number for number in range(290, 300)}


def test_a_durable_consumer_passes_by(start_server: StartServer) -> None:
    server = start(start_server, "--compact", "app=subject")
    with subscribe(
        server, "app.>", start="oldest", ack="manual", consumer="c", prefetch=5, redelivery="200ms"
    ) as stream:
        fill(server)
        stream.take(5)
        wait_until_compacted(server)
        stored(server, "app.end", [0])
        seen = set[int]()
        while True:
            (event,) = stream.take(1)
            found = msgspec.json.decode(event.data)
            acknowledge(server, stream.headers["x-bus-consumer-id"], event.id)
            seen.add(found["payload"][0])
            if found["subject"] == "app.end":
                break
        assert seen >= {0, *range(290, 300)} and len(seen) < 250
        while (consumer := json.loads(request(server, "GET", "/v1/consumers/c").body))["pending"]:
            """What was in flight is settled when its time is over."""
    assert (consumer["behind"], consumer["dead"]) == (0, 0)


def test_dead_letters_are_kept_and_delivered_again(start_server: StartServer) -> None:
    server = start(start_server, "--compact", "app=subject")
    with subscribe(server, "app.a", start="oldest", ack="manual", consumer="c") as stream:
        for number in range(3):
            event_id = stored(server, "app.a", [number, FILLER])
            stream.take(1)
            acknowledge(server, stream.headers["x-bus-consumer-id"], event_id, action="reject")
        stored(server, "app.a", [3, FILLER])
        (last,) = stream.take(1)
        acknowledge(server, stream.headers["x-bus-consumer-id"], last.id)
        fill(server)
        wait_until_compacted(server)
        assert [event["payload"][0] for event in read(server, "app._dead_.c")] == [0, 1, 2]
        assert len(read(server, "app.a")) == 1
        assert json.loads(request(server, "POST", "/v1/consumers/c/dead").body) == {"redriven": 3}
        assert {msgspec.json.decode(event.data)["payload"][0] for event in stream.take(1)} == {0}


def test_retention_goes_on(start_server: StartServer) -> None:
    """Retention may leave so little that no compaction is worth it, so that both come takes as long as it takes."""
    server = start(start_server, "--compact", "app=subject", "--retention", "app=20KB")
    publish(server, "app.old", 1)
    while about(server)["compactions"] == 0 or about(server)["first_index"] == 1:
        fill(server)
    assert not any("subject" in event for event in read(server, "app.old"))


def test_a_copy_has_what_is_left_where_it_was(start_server: StartServer) -> None:
    server = start(start_server, "--compact", "app=subject")
    fill(server)
    wait_until_compacted(server)
    left = [(event["index"], event["subject"]) for event in read(server, "app.>")]
    target = server.path.parent / "copy"
    copied = run_bus("copy", "--from", str(server.path), "--to", str(target))
    assert copied.returncode == 0, copied.stderr
    other = start_server(path=target, flags=SMALL, namespaces=("app",))
    assert [(event["index"], event["subject"]) for event in read(other, "app.>")][: len(left)] == left
    dumped = run_bus("dump", "--path", str(target), "--output", "-")
    assert [json.loads(line)["index"] for line in dumped.stdout.splitlines()][: len(left)] == [
        index for index, _ in left
    ]


def test_a_copy_takes_no_room_for_what_is_gone(start_server: StartServer) -> None:
    server = start(start_server)
    upload(server, [draft("app.n1", 1)] * 20_000)
    assert server.stop() == 0
    server = start(start_server, "--compact", "app=subject")
    server.wait_for_log("compacted up to event")
    assert server.stop() == 0
    target = server.path.parent / "copy"
    assert run_bus("copy", "--from", str(server.path), "--to", str(target)).returncode == 0
    assert sum(file.stat().st_size for file in target.glob("app/*.log")) < 10_000
    assert run_bus("verify", "--path", str(target)).returncode == 0
    other = start_server(path=target, flags=SMALL, namespaces=("app",))
    assert [event["index"] for event in read(other, "app.>")] == [20_000]


def test_a_copy_is_added_to_behind_an_event_that_was_deleted(start_server: StartServer) -> None:
    server = start_server()
    publish(server, "app.a", "kept")
    target = server.path.parent / "copy"
    last = stored(server, "app.b", "deleted")
    assert run_bus("copy", "--from", server.url, "--to", str(target)).returncode == 0
    other = start_server(path=target)
    assert request(other, "DELETE", f"/v1/events/{last}").status == 200
    assert other.stop() == 0
    publish(server, "app.c", "new")
    added = run_bus("copy", "--from", server.url, "--to", str(target), "--append")
    assert added.returncode == 0, added.stderr
    other = start_server(path=target)
    assert [event["payload"] for event in read(other, "app.>")] == ["kept", "deleted", "new"]


def test_it_is_set_while_the_server_runs_and_stays(start_server: StartServer) -> None:
    server = start(start_server, "--compact", "app=key")

    def put(compact: str) -> dict[str, Any]:
        answer = request(server, "PUT", "/v1/namespaces/app", json.dumps({"compact": compact}).encode())
        assert answer.status == 200, answer
        found: dict[str, Any] = json.loads(answer.body)
        return found

    assert publish(server, "app.a", key="k").status == publish(server, "app.a", key="k").status == 202
    assert put("none")["compact"] is None
    assert publish(server, "app.a", key="k").status == 202
    assert publish(server, "app.a", key="k").status == 409
    assert put("subject")["compact"] == "subject"
    wait_until_compacted(server)
    server.restart()
    assert about(server)["compact"] == "subject"
    assert latest(server, "app.>") == {f"app.n{number % 10}": number for number in range(290, 300)}
    assert b"compact" in request(server, "PUT", "/v1/namespaces/app", b'{"compact": "payload"}').body
    assert run_bus("namespaces", "edit", "app", "--compact", "default", "--host", server.url).returncode == 0
    assert about(server)["compact"] == "key"


def test_without_compaction_everything_stays(start_server: StartServer) -> None:
    """The control for all of the above."""
    server = start(start_server, "--compact", "other=subject", namespaces=("app", "other"))
    fill(server)
    fill(server, namespace="other")
    wait_until_compacted(server, "other")
    assert len(read(server, "app.>")) == 300
    assert about(server)["compact"] is None and about(server)["compactions"] == 0


@pytest.mark.parametrize("text", ["app", "app=", "=subject", "app=payload", "app=subject;b=key"])
def test_what_cannot_be_read_is_refused(text: str) -> None:
    refused = run_bus("server", "--namespaces", "app", "--compact", text)
    assert refused.returncode == 2 and b"write it like orders=subject,state=key" in refused.stderr
