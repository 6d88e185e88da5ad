"""Where a stream begins: by name, id, index, time, age, and after the last event a client saw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.conftest import StartServer
from tests.server.support import publish, read, stored
from tests.support import ServerProcess, subscribe

pytestmark = pytest.mark.every_engine


@dataclass(frozen=True, slots=True)
class Published:
    """A server with events 1 to 6 on ``app.a``, an hour apart, and their ids; a client supplied the third."""

    server: ServerProcess
    ids: list[str]

    def begins(self, **parameters: str) -> list[int]:
        """The indexes a subscriber gets."""
        return [event["index"] for event in read(self.server, "app.a", **parameters)]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    server = ServerProcess(tmp_path_factory.mktemp("positions") / "data")
    hours = {1: "01", 2: "02", 3: "03", 4: "04", 5: "05", 6: "06"}
    given = {3: "mine-3"}
    ids = [
        stored(server, "app.a", created_at=f"2026-01-31T{hour}:00:00Z", id=given.get(number, ""))
        for number, hour in hours.items()
    ]
    yield Published(server, ids)
    server.close()


@pytest.mark.parametrize(
    ("start", "indexes"),
    [
        ("oldest", [1, 2, 3, 4, 5, 6]),
        ("newest", []),
        ("", []),
        ("0", [1, 2, 3, 4, 5, 6]),
        ("1", [1, 2, 3, 4, 5, 6]),
        ("4", [4, 5, 6]),
        ("7", []),
        ("mine-3", [4, 5, 6]),
        ("2026-01-31T00:00:00Z", [1, 2, 3, 4, 5, 6]),
        ("2026-01-31T04:00:00Z", [4, 5, 6]),
        ("2026-01-31T04:00:00.000000001Z", [5, 6]),
        ("2026-01-31T06:30:00+02:00", [5, 6]),
        ("2026-01-31T07:00:00Z", []),
        ("2999-01-01T00:00:00Z", []),
        ("1h", []),
        ("500w", [1, 2, 3, 4, 5, 6]),
    ],
)
def test_start(published: Published, start: str, indexes: list[int]) -> None:
    assert published.begins(start=start) == indexes


def test_an_id_starts_after_its_event(published: Published) -> None:
    for number, event_id in enumerate(published.ids, 1):
        assert published.begins(start=event_id) == list(range(number + 1, 7))


def test_an_id_of_an_event_that_did_not_match_is_a_position_too(published: Published) -> None:
    assert read(published.server, "app.b", start=published.ids[2]) == []


def test_the_last_event_id_wins_over_start(published: Published) -> None:
    with subscribe(published.server, "app.a", last_event_id=published.ids[3], start="oldest", limit=2) as stream:
        assert [event.id for event in stream.take(2)] == published.ids[4:]
    assert published.begins(last_event_id=published.ids[3], start="oldest") == [5, 6]


def test_the_header_wins_over_the_parameter(published: Published) -> None:
    ids = published.ids
    with subscribe(published.server, "app.a", last_event_id=ids[4], limit=1) as stream:
        assert stream.take(1)[0].id == ids[5]


def test_an_id_of_several_events_means_the_earliest(server: ServerProcess) -> None:
    for number in range(3):
        stored(server, "app.a", number, id="again")
        stored(server, "app.a", number)
    for form in ("start", "last_event_id"):
        assert [event["index"] for event in read(server, "app.a", **{form: "again"})] == [2, 3, 4, 5, 6]


def test_resuming_at_the_tail_waits_for_what_comes(published: Published) -> None:
    with subscribe(published.server, "app.a", last_event_id=published.ids[-1]) as stream:
        assert stream.next().kind == "open"
        event_id = stored(published.server, "app.tail")
        with subscribe(published.server, "app.tail", last_event_id=event_id, follow="false") as other:
            assert [event.kind for event in other.rest()] == ["open", "done"]


def test_resuming_after_an_unknown_event_reports_a_gap_and_goes_on_from_the_oldest(server: ServerProcess) -> None:
    ids = [stored(server, "app.a") for _ in range(2)]
    with subscribe(server, "app.a", last_event_id="e_00000000ffffaaaaaaaaaa", follow="false") as stream:
        _, gap, *events, _ = stream.rest()
        assert gap.kind == "gap"
        assert msgspec.json.decode(gap.data)["next_index"] == 1
        assert [event.id for event in events] == ids


def _lose_first_segment(log: Path) -> None:
    """Remove the oldest segment as retention does, index first."""
    oldest = min(log.rglob("*.log"))
    oldest.with_suffix(".idx").unlink(missing_ok=True)
    oldest.unlink()


@pytest.mark.embedded_only("segments")
@pytest.mark.parametrize("form", ["last_event_id", "start", "index"])
def test_resuming_after_an_event_that_is_gone_reports_what_is_missing(start_server: StartServer, form: str) -> None:
    server = start_server(flags=["--segment-size", "8KB", "--namespaces", "app"])
    ids = [stored(server, "app.a", "x" * 1000) for _ in range(30)]
    assert server.stop() == 0
    _lose_first_segment(server.path)
    server.start()
    left = read(server, "app.a")
    first = left[0]["index"]
    assert 3 < first < 30
    resume: dict[str, Any] = {"last_event_id": ids[1]} if form == "last_event_id" else {}
    start = {"start": ids[1], "index": "3"}.get(form, "")
    with subscribe(server, "app.a", follow="false", start=start, **resume) as stream:
        opened, gap, *events, _ = stream.rest()
        assert msgspec.json.decode(opened.data)["first_index"] == first
        missing = {
            name: msgspec.json.decode(gap.data)[name] for name in ("first_missing", "last_missing", "next_index")
        }
        assert (gap.kind, missing) == ("gap", {"first_missing": 3, "last_missing": first - 1, "next_index": first})
        assert [event.id for event in events] == [event["id"] for event in left]


def test_positions_hold_after_a_restart(server: ServerProcess) -> None:
    ids = [stored(server, "app.a", number, id="mine" if number == 2 else "") for number in range(4)]
    server.kill()
    server.restart()
    publish(server, "app.a", 4)
    for number, event_id in enumerate(ids):
        found = read(server, "app.a", last_event_id=event_id)
        assert [event["payload"] for event in found] == list(range(number + 1, 5))
