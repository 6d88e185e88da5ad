"""Moving a durable consumer: it is said what is repeated or skipped, and then it is so."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.server.support import acknowledge, refusal, stored
from tests.server.test_consumer_changes import about, answered, change, put
from tests.support import Answer, ServerProcess, request, subscribe

pytestmark = [pytest.mark.every_engine]


def post(server: ServerProcess, name: str, to: object, query: str = "") -> Answer:
    return request(server, "POST", f"/v1/consumers/{name}/position{query}", msgspec.json.encode({"to": to}))


def move(server: ServerProcess, name: str, to: object) -> dict[str, Any]:
    """Move it; the same was said before, and nothing done by that."""
    before = about(server, name)["next_index"]
    said = answered(post(server, name, to, "?dry_run=true"))
    assert (about(server, name)["next_index"], said.pop("moved")) == (before, False)
    done = answered(post(server, name, to))
    assert done.pop("moved")
    assert done == said
    return done


def place(server: ServerProcess) -> tuple[int, int]:
    """Where the consumer ``moved`` is, and how many events it is behind."""
    found = about(server, "moved")
    return found["next_index"], found["behind"]


@pytest.fixture
def moved(server: ServerProcess) -> list[str]:
    """The ids of events 1 to 12, an hour apart, of which each third is another's; the consumer is at 7."""
    ids = [
        stored(server, "app.b" if index % 3 == 0 else "app.a", created_at=f"2026-01-31T{index:02}:00:00Z")
        for index in range(1, 13)
    ]
    answered(put(server, "moved", patterns=["app.a"], start="7"), 201)
    return ids


@pytest.mark.parametrize(
    ("to", "at", "repeats", "skips"),
    [
        ("oldest", 1, 4, 0),
        ("newest", 13, 0, 4),
        (4, 4, 2, 0),
        ("4", 4, 2, 0),
        (7, 7, 0, 0),
        ("10", 10, 0, 2),
        ("2026-01-31T11:00:00Z", 11, 0, 3),
        ("+0", 7, 0, 0),
        ("+1", 8, 0, 1),
        ("+3", 11, 0, 3),
        ("+99", 13, 0, 4),
        ("-1", 5, 1, 0),
        ("-3", 2, 3, 0),
        (-4, 1, 4, 0),
        ("-99", 1, 4, 0),
    ],
)
def test_it_goes_on_where_it_is_told(
    server: ServerProcess, moved: list[str], to: str | int, at: int, repeats: int, skips: int
) -> None:
    assert move(server, "moved", to) == {
        "from": 7, "to": at, "repeats": repeats, "skips": skips, "forgotten": 0,
    }  # fmt: skip
    assert place(server) == (at, 4 + repeats - skips)
    server.kill()
    server.restart()
    assert place(server) == (at, 4 + repeats - skips), "it was on disk before it was answered"


def test_it_goes_on_after_an_event(server: ServerProcess, moved: list[str]) -> None:
    assert move(server, "moved", moved[3])["to"] == 5
    with subscribe(server, "app.a", ack="manual", consumer="moved") as stream:
        assert [event.id for event in stream.take(1)] == moved[4:5]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "the body is empty: send JSON with to"),
        (b"{}", 400, "missing required field `to`"),
        (b'{"to": ""}', 400, "+10 or -10"),
        (b'{"to": "!"}', 400, "to '!' can't be read"),
        (b'{"to": "+1x"}', 400, "to '+1x' can't be read"),
        (b'{"to": true}', 400, "got `bool`"),
        (b'{"too": 1}', 400, "did you mean to?"),
        (b'{"to": 99}', 404, "beyond the end"),
        (b'{"to": "e_00ffffffffff0000000000"}', 404, "never existed"),
    ],
)
def test_a_place_that_is_none_is_refused(
    server: ServerProcess, moved: list[str], body: bytes, status: int, said: str
) -> None:
    found, text = refusal(request(server, "POST", "/v1/consumers/moved/position", body))
    assert (found, said in text) == (status, True), text
    assert place(server) == (7, 4)


def test_one_that_is_not_there_and_a_flag_that_is_none_are_refused(bus: ServerProcess) -> None:
    assert refusal(post(bus, "nobody", "oldest"))[0] == 404
    assert refusal(post(bus, "nobody", "oldest", "?dry_run=maybe"))[0] == 400


@pytest.mark.embedded_only("connections that outlive a move")
def test_what_is_pending_is_forgotten_with_connections_too(server: ServerProcess, moved: list[str]) -> None:
    wanted: dict[str, Any] = {"ack": "manual", "consumer": "moved", "redelivery": "1h"}
    with (
        subscribe(server, "app.a", prefetch=2, **wanted) as first,
        subscribe(server, "app.a", prefetch=1, **wanted) as second,
    ):
        had = {event.id for event in first.take(2) + second.take(1)}
        assert had == {moved[6], moved[7], moved[9]}
        assert move(server, "moved", "newest") == {"from": 11, "to": 13, "repeats": 0, "skips": 4, "forgotten": 3}
        found = about(server, "moved")
        assert (found["pending"], found["in_flight"], found["connections"]) == (0, 0, 2)
        late = acknowledge(server, first.headers["x-bus-consumer-id"], moved[6])
        assert late.status == 202, "what is skipped counts as settled"
        new = {stored(server, "app.a") for _ in range(3)}
        assert {event.id for event in first.take(2) + second.take(1)} == new


@pytest.mark.embedded_only("connections that outlive a move")
def test_what_is_repeated_comes_with_its_attempts_counted_anew(server: ServerProcess, moved: list[str]) -> None:
    with subscribe(server, "app.a", ack="manual", consumer="moved", redelivery="1h", prefetch=9) as stream:
        stream.take(4)
        acknowledge(server, stream.headers["x-bus-consumer-id"], moved[6], moved[7])
        assert move(server, "moved", "-3") == {"from": 13, "to": 8, "repeats": 3, "skips": 0, "forgotten": 2}
        again = [(event.id, msgspec.json.decode(event.data)["attempts"]) for event in stream.take(3)]
        assert again == [(moved[7], 1), (moved[9], 1), (moved[10], 1)]


@pytest.mark.embedded_only("connections that outlive a move")
def test_one_that_is_paused_is_moved_and_stays_paused(server: ServerProcess, moved: list[str]) -> None:
    change(server, "moved", paused=True)
    with subscribe(server, "app.a", ack="manual", consumer="moved") as stream:
        move(server, "moved", 4)
        assert about(server, "moved")["paused"]
        change(server, "moved", paused=False)
        assert [event.id for event in stream.take(1)] == moved[3:4]


@pytest.mark.embedded_only("connections that outlive a move")
def test_what_was_given_up_comes_again_and_is_sent_back_no_second_time(server: ServerProcess, moved: list[str]) -> None:
    with subscribe(server, "app.a", ack="manual", consumer="moved") as stream:
        stream.take(1)
        consumer_id = stream.headers["x-bus-consumer-id"]
        acknowledge(server, consumer_id, moved[6], action="reject")
        stream.take(1)
        change(server, "moved", paused=True)
        move(server, "moved", 7)
        assert answered(request(server, "POST", "/v1/consumers/moved/dead")) == {"redriven": 1}
        change(server, "moved", paused=False)
        for expected in (moved[6], moved[7]):
            (event,) = stream.take(1)
            assert event.id == expected
            assert acknowledge(server, consumer_id, expected).status == 202
