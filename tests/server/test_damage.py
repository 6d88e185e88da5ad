"""Streams over a log that can't be read everywhere: what is missing is told once, and the stream goes on or ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus.storage.header import HEADER_SIZE
from bus.wire import NDJSON, SSE
from tests.conftest import StartServer
from tests.server.support import acknowledge, publish, stored, target
from tests.support import ServerProcess, request, subscribe

EVENTS = 60
WHOLE = target("app.a", start="oldest", follow="false")
ENCRYPTED = {"BUS_SECRET_KEY": "a secret of the tests"}

Told = list[tuple[str, Any]]
"""What a stream said, in order: indexes of events, gaps as (first, last) with their reason, and its end."""


def told_by_sse(body: bytes) -> Told:
    told: Told = []
    for block in body.split(b"\n\n")[:-1]:
        fields = dict(line.split(b": ", 1) for line in block.split(b"\n"))
        told += _told(fields[b"event"].decode(), msgspec.json.decode(fields[b"data"]))
    return [item for item in told if item[0] != "open"]


def told_by_ndjson(body: bytes) -> Told:
    told: Told = []
    for line in body.splitlines():
        about = msgspec.json.decode(line)
        told += _told(about.pop("event", "msg"), about)
    return [*told, ("done", "tail")]


def _told(kind: str, about: Any) -> Told:
    match kind:
        case "msg":
            return [("msg", about["index"])]
        case "gap":
            assert about["next_index"] == about["last_missing"] + 1
            return [(about["reason"], (about["first_missing"], about["last_missing"]))]
        case "done":
            return [("done", about["reason"])]
    return [(kind, about)]


def missing(told: Told) -> list[tuple[int, int]]:
    return [what for kind, what in told if kind == "damaged"]


def indexes(told: Told) -> list[int]:
    return [what for kind, what in told if kind == "msg"]


READ: dict[str, Callable[[ServerProcess], Told]] = {
    "SSE": lambda server: told_by_sse(request(server, "GET", WHOLE, Accept=SSE).body),
    "no Accept": lambda server: told_by_sse(request(server, "GET", WHOLE).body),
    "NDJSON": lambda server: told_by_ndjson(request(server, "GET", WHOLE, Accept=NDJSON).body),
}


class Damaged:
    """A log of `EVENTS` events, one a batch, to be damaged while no server runs."""

    def __init__(self, start_server: StartServer, path: Path, *, encrypted: bool = False) -> None:
        self._start = start_server
        self._options: dict[str, Any] = {"flags": ["--segment-size", "8KiB"], "env": ENCRYPTED if encrypted else {}}
        self.path = path / "data"
        server = self._start(self.path, **self._options)
        for number in range(EVENTS):
            publish(server, "app.a", f"{number:03d}" + "x" * 300)
        server.stop()
        self.segments = sorted((self.path / "app").glob("*.log"))
        assert len(self.segments) > 2

    def flip(self, segment: int, places: Callable[[bytes], list[int]]) -> None:
        """Flip a bit in each of the batches that *places* picks from the offsets of a segment."""
        path = self.segments[segment]
        data = bytearray(path.read_bytes())
        for place in places(bytes(data)):
            data[place] ^= 1
        path.write_bytes(data)

    def serve(self) -> ServerProcess:
        return self._start(self.path, **self._options)


def batches(data: bytes) -> list[int]:
    """An offset within the body of each batch of a segment."""
    found, at = [], data.find(b"\xffBUS", HEADER_SIZE)
    while at >= 0:
        found.append(at + 100)
        at = data.find(b"\xffBUS", at + 100)
    return found


DAMAGE: dict[str, tuple[int, Callable[[bytes], list[int]]]] = {
    "the last batch": (-1, lambda data: batches(data)[-1:]),
    "the last three": (-1, lambda data: batches(data)[-3:]),
    "one in the middle": (1, lambda data: batches(data)[5:6]),
    "several in the middle": (1, lambda data: [*batches(data)[2:4], *batches(data)[6:9]]),
    "every one of the first segment": (0, batches),
    "every one of a segment": (1, batches),
    "both headers of the first segment": (0, lambda data: [20, HEADER_SIZE // 2 + 20]),
    "both headers of a segment": (1, lambda data: [20, HEADER_SIZE // 2 + 20]),
}


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_every_reader_is_told_of_damage_once(
    start_server: StartServer, tmp_path: Path, damage: str, encrypted: bool
) -> None:
    log = Damaged(start_server, tmp_path, encrypted=encrypted)
    log.flip(*DAMAGE[damage])
    server = log.serve()
    answers = {name: read(server) for name, read in READ.items()}
    told = answers["SSE"]
    assert answers == dict.fromkeys(READ, told)
    lost = [index for first, last in missing(told) for index in range(first, last + 1)]
    assert lost and sorted(lost + indexes(told)) == list(range(1, EVENTS + 1))
    assert len(missing(told)) == len(gaps_in(indexes(told)))
    assert told[-1] == ("done", "tail")
    assert told_by_manual(server) == told
    assert told_by_manual(server, consumer="durable") == told
    assert server.log.count("restore the file") <= 2 * len(missing(told))


def gaps_in(indexes: list[int]) -> list[int]:
    """The indexes behind which some are missing."""
    return [
        index for index, following in zip([0, *indexes], [*indexes, EVENTS + 1], strict=True) if following > index + 1
    ]


def told_by_manual(server: ServerProcess, **parameters: object) -> Told:
    """What a consumer is told that acknowledges all it gets."""
    told: Told = []
    wanted: dict[str, Any] = {"start": "oldest", "follow": "false", "ack": "manual", **parameters}
    with subscribe(server, "app.a", **wanted) as stream:
        consumer_id = stream.headers["x-bus-consumer-id"]
        while not told or told[-1][0] != "done":
            event = stream.next()
            if event.kind == "msg":
                assert acknowledge(server, consumer_id, event.id).status == 202
            told += _told(event.kind, msgspec.json.decode(event.data))
    return told[1:]


@contextmanager
def damaged_at_the_end(start_server: StartServer, path: Path) -> Iterator[ServerProcess]:
    log = Damaged(start_server, path)
    log.flip(*DAMAGE["the last batch"])
    yield log.serve()


@pytest.mark.parametrize("ack", ["none", "manual"])
def test_a_stream_that_follows_is_told_at_once_and_goes_on(start_server: StartServer, tmp_path: Path, ack: str) -> None:
    with (
        damaged_at_the_end(start_server, tmp_path) as server,
        subscribe(server, "app.a", start=EVENTS - 1, ack=ack, prefetch=10) as stream,
    ):
        (gap,) = stream.take(1, "gap")
        assert msgspec.json.decode(gap.data)["first_missing"] == EVENTS
        event_id = stored(server, "app.a")
        assert stream.next().id == event_id
        assert server.log.count("events 60 can't be read") <= 2


def test_damage_while_the_server_runs_is_told_likewise(start_server: StartServer, tmp_path: Path) -> None:
    log = Damaged(start_server, tmp_path)
    server = log.serve()
    log.flip(1, batches)
    told = READ["SSE"](server)
    assert len(missing(told)) == 1
    assert told == READ["NDJSON"](server)
