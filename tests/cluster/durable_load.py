"""Workers that share a durable consumer at any of several Bus servers, and what is to become of each event.

Each event says in its payload, a number, how workers take it. The judge compares what was acknowledged with what was
given up: each event has to be one of them, and not both.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from bus.wire import NDJSON
from tests.server.support import acknowledge
from tests.support import PATIENCE, ServerProcess, request, subscribe
from tests.threads import side_by_side

LIMIT = 3
"""Attempts."""
NAME, SUBJECT = "shared", "app.work"
WORKERS = 8
BAD = (1, 4)
"""Those of ten that are given up: rejected, and never well."""


class Event(msgspec.Struct, frozen=True):
    id: str
    payload: int
    attempts: int = 0


class About(msgspec.Struct, frozen=True):
    index: int
    attempts: int


class Letter(msgspec.Struct, frozen=True):
    payload: int
    dead: About


class Stored(msgspec.Struct, frozen=True):
    """What became of a line: it has an id, or the code of an error."""

    id: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of events: how many are acknowledged and dead, and what must not be."""

    acknowledged: int
    dead: int
    neither: int
    both: int
    letters_twice: int
    over_the_limit: int

    def check(self) -> None:
        wrong = (self.neither, self.both, self.letters_twice, self.over_the_limit)
        assert wrong == (0, 0, 0, 0), f"neither, both, letters twice, over the limit: {wrong}"


@dataclass(slots=True)
class Work:
    """What workers were told is settled, and the most attempts they saw."""

    events: int
    acknowledged: set[int] = field(default_factory=set)
    unsure: set[int] = field(default_factory=set)
    attempts: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def note(self, event: Event, status: int) -> None:
        with self._changed:
            (self.acknowledged if status == 202 else self.unsure).add(event.payload)
            self._changed.notify_all()

    def wait_for(self, count: int) -> None:
        """Return when *count* events are acknowledged."""
        with self._changed:
            enough = self._changed.wait_for(lambda: len(self.acknowledged) >= count, 3 * PATIENCE)
        assert enough, f"stuck at {len(self.acknowledged)}"

    def see(self, event: Event) -> None:
        with self._changed:
            self.attempts = max(self.attempts, event.attempts)


def publish(server: ServerProcess, events: int) -> None:
    """Store *events* events, numbered from 0; lines that a stream without a leader refuses are sent again."""
    left: Sequence[int] = range(events)
    while left:
        lines = (b'{"subject":"%b","payload":%d,"key":"%d"}\n' % (SUBJECT.encode(), number, number) for number in left)
        answer = request(server, "POST", "/", b"".join(lines), Content_Type=NDJSON, timeout=5 * PATIENCE)
        assert answer.status == 202, answer
        outcomes = zip(left, msgspec.json.Decoder(Stored).decode_lines(answer.body), strict=True)
        left = [number for number, outcome in outcomes if not (outcome.id or outcome.code == "duplicate-key")]


@contextmanager
def working(servers: Sequence[ServerProcess], work: Work) -> Iterator[None]:
    """Have workers work until the block ends, each at the next server when one fails it."""
    with side_by_side(_work, [(servers, work, worker) for worker in range(WORKERS)]):
        yield


def _work(servers: Sequence[ServerProcess], work: Work, worker: int, stopping: threading.Event) -> None:
    turn = worker
    while not stopping.is_set():
        turn += 1
        try:
            _work_at(servers[turn % len(servers)], work, stopping)
        except (OSError, EOFError, AssertionError, http.client.HTTPException):
            time.sleep(0.05)


def _work_at(server: ServerProcess, work: Work, stopping: threading.Event) -> None:
    wanted: dict[str, Any] = {"start": "oldest", "redelivery": "2s", "redelivery_count": LIMIT, "prefetch": 4}
    with subscribe(server, SUBJECT, ack="manual", consumer=NAME, **wanted) as stream:
        stream.connection.settimeout(1)
        while not stopping.is_set():
            try:
                (found,) = stream.take(1)
            except TimeoutError:
                continue
            event = msgspec.json.decode(found.data, type=Event)
            work.see(event)
            _handle(server, stream.headers["x-bus-consumer-id"], event, work)


def _handle(server: ServerProcess, consumer_id: str, event: Event, work: Work) -> None:
    """Take an event as its number says; what is bad at first is well at the second attempt, or the third."""
    kind, first = event.payload % 10, event.attempts == 1
    if kind == 1:
        acknowledge(server, consumer_id, event.id, action="reject", reason="bad")
    elif kind == 4 or (kind == 0 and first):
        acknowledge(server, consumer_id, event.id, action="nack", reason="not now")
    elif kind == 3 and first:
        return  # it is never answered
    else:
        if kind == 2:
            acknowledge(server, consumer_id, event.id, action="extend")
        _acknowledge(server, consumer_id, event, work)


def _acknowledge(server: ServerProcess, consumer_id: str, event: Event, work: Work) -> None:
    """Whether it is acknowledged is unsure without an answer, and with one that says so."""
    try:
        work.note(event, acknowledge(server, consumer_id, event.id).status)
    except (OSError, http.client.HTTPException):
        work.note(event, 0)
        raise


def settled(server: ServerProcess) -> bool:
    """Whether nothing is left to be done, as *server* tells it."""
    answer = request(server, "GET", f"/v1/consumers/{NAME}")
    if answer.status != 200:
        return False
    about = msgspec.json.decode(answer.body)
    return (about["behind"], about["pending"]) == (0, 0)


def wait_until_settled(server: ServerProcess, *, seconds: float) -> None:
    """Return when nothing is left, or the time is over: then the judge finds what is wrong."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if settled(server):
            return
        time.sleep(0.2)


def judge(server: ServerProcess, work: Work) -> Outcome:
    """What became of all events."""
    target = f"/?subject=app._dead_.{NAME}&start=oldest&follow=false"
    answer = request(server, "GET", target, Accept=NDJSON, timeout=5 * PATIENCE)
    letters = [msgspec.convert(each, Letter) for each in map(msgspec.json.decode, answer.body.splitlines())
               if "dead" in each]  # fmt: skip
    count = Counter(letter.payload for letter in letters)
    done = work.acknowledged | work.unsure
    return Outcome(
        acknowledged=len(work.acknowledged),
        dead=len(count),
        neither=len(set(range(work.events)) - done - count.keys()),
        both=len(work.acknowledged & count.keys()),
        letters_twice=sum(each > 1 for each in count.values()),
        over_the_limit=sum(letter.dead.attempts > LIMIT for letter in letters) + max(work.attempts - LIMIT, 0),
    )
