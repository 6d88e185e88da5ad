"""Crews of workers that can be killed, the events they work on, and what their notes come to beside the log."""

from __future__ import annotations

import http.client
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from bus.wire import NDJSON
from tests.faults import worker
from tests.support import Answer, ServerProcess, clean_environment, request

CHUNK = 250
KEYS = 97
PATIENCE = 300.0
"""Seconds in which the workers must have everything once the killing is over."""


class Event(msgspec.Struct, frozen=True):
    """An event in the log."""

    id: str
    index: int
    subject: str
    key: str


@dataclass(frozen=True, slots=True)
class Note:
    """A line of a journal."""

    index: int
    id: str
    key: str


@dataclass(slots=True)
class Crew:
    """Worker processes of one kind, with one journal."""

    kind: str
    size: int
    url: str
    directory: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def journal(self) -> Path:
        return self.directory / f"{self.kind}.journal"

    def hire(self) -> None:
        """Bring it to its full size."""
        while len(self.processes) < self.size:
            command = [sys.executable, worker.__file__, self.kind, self.url, str(self.journal)]
            self.processes.append(subprocess.Popen(command, env=clean_environment()))

    def kill(self, number: int = 0) -> None:
        """Kill one, and wait until it is gone."""
        process = self.processes.pop(number % len(self.processes))
        process.kill()
        process.wait()

    def notes(self) -> list[Note]:
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return [Note(int(index), id, key) for index, id, key in map(str.split, lines)]

    def wants(self, event: Event) -> bool:
        return event.subject == worker.SUBJECTS.get(self.kind, event.subject)

    def has_all(self, log: Sequence[Event]) -> bool:
        assert all(process.poll() is None for process in self.processes), f"a {self.kind} worker ended by itself"
        return {event.index for event in log if self.wants(event)} <= {note.index for note in self.notes()}


@contextmanager
def crews(server: ServerProcess, directory: Path, sizes: dict[str, int]) -> Iterator[dict[str, Crew]]:
    """Workers of several kinds; all are killed at the end."""
    hired = {kind: Crew(kind, size, server.url, directory) for kind, size in sizes.items()}
    try:
        for crew in hired.values():
            crew.hire()
        yield hired
    finally:
        for crew in hired.values():
            while crew.processes:
                crew.kill()


def drafts(first: int, count: int) -> bytes:
    numbers = range(first, first + count)
    lines = [{"subject": f"app.history.s{n % 10}", "key": f"k{n * n % KEYS}", "payload": n} for n in numbers]
    return b"\n".join(map(msgspec.json.encode, lines))


def publish(server: ServerProcess, first: int) -> None:
    """Publish a chunk; if the server is killed meanwhile, whatever of it is stored is in the log, and that counts."""
    try:
        request(server, "POST", "/", drafts(first, CHUNK), Content_Type=NDJSON)
    except (OSError, http.client.HTTPException):
        return


def read_log(server: ServerProcess) -> list[Event]:
    target = "/?subject=app.history.*&start=oldest&follow=false"
    body = request(server, "GET", target, Accept=NDJSON, timeout=PATIENCE).body
    return msgspec.json.Decoder(Event).decode_lines(body)


def wait_for_all(hired: Iterable[Crew], log: Sequence[Event]) -> None:
    """Wait until every crew has noted all it should."""
    deadline = time.monotonic() + PATIENCE
    for crew in hired:
        while not crew.has_all(log):
            missing = {event.index for event in log if crew.wants(event)} - {note.index for note in crew.notes()}
            assert time.monotonic() < deadline, f"{crew.kind} skipped {len(missing)}, the first is {min(missing)}"
            time.sleep(0.1)


def wait_until_settled(server: ServerProcess, consumer: str) -> None:
    """Wait until a durable consumer has acknowledged everything."""
    while not _is_settled(request(server, "GET", f"/v1/consumers/{consumer}")):
        time.sleep(0.05)


def _is_settled(answer: Answer) -> bool:
    state = msgspec.json.decode(answer.body) if answer.status == 200 else {"behind": 1}
    return not (state["behind"] or state["pending"])


@dataclass(frozen=True, slots=True)
class History:
    """What the notes of one crew come to. An event counts when it was first noted.

    Parameters:
        events: how many it should have noted.
        skipped: how many of them it has not.
        repeated: how often it noted one again.
        out_of_order, out_of_order_by_key: how many it noted after a later one, of all or of the same key.
        invented: how many it noted that are not in the log.
    """

    events: int
    skipped: int
    repeated: int
    out_of_order: int
    out_of_order_by_key: int
    invented: int


def judge(crew: Crew, log: Sequence[Event]) -> History:
    """Compare the notes of *crew* with the log."""
    ids = {event.index: event.id for event in log if crew.wants(event)}
    notes = crew.notes()
    first: dict[int, Note] = {}
    for note in notes:
        first.setdefault(note.index, note)
    return History(
        events=len(ids),
        skipped=len(ids.keys() - first.keys()),
        repeated=len(notes) - len(first),
        out_of_order=_inversions((note.index, "") for note in first.values()),
        out_of_order_by_key=_inversions((note.index, note.key) for note in first.values()),
        invented=sum(ids.get(note.index) != note.id for note in first.values()),
    )


def _inversions(noted: Iterable[tuple[int, str]]) -> int:
    """How many indexes come after a larger one of the same kind."""
    largest: dict[str, int] = {}
    wrong = 0
    for index, kind in noted:
        wrong += index < largest.get(kind, 0)
        largest[kind] = max(largest.get(kind, 0), index)
    return wrong
