"""Publishers that remember what they were promised, and the judgement whether it was kept."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import msgspec

from bus.wire import EVENT_ID, EVENT_INDEX, NDJSON
from tests.support import PATIENCE, ServerProcess, request
from tests.threads import side_by_side

FAILED = 503
TRIES_AFTER_FAILURE = 10
"""How often a publisher tries again to be acknowledged by a server that has failed: it must not be."""


class Number(msgspec.Struct, frozen=True):
    """A payload that occurs once: the n-th event of a publisher."""

    publisher: int
    number: int
    padding: str = ""


class Stored(msgspec.Struct, frozen=True):
    """An event as it is read back."""

    id: str
    index: int
    payload: Number


@dataclass(frozen=True, slots=True)
class Receipt:
    """An event that was acknowledged, and when (monotonic seconds)."""

    payload: Number
    id: str
    index: int
    since: float


@dataclass(slots=True)
class Journal:
    """What was promised to the publishers of a test, over any number of servers, and what was refused."""

    receipts: list[Receipt] = field(default_factory=list)
    refusals: list[tuple[int, str]] = field(default_factory=list)
    broken_promises: int = 0
    _numbers: dict[int, int] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def next_number(self, publisher: int) -> int:
        """A number for one try; it is never used again, whatever becomes of the try."""
        number = self._numbers[publisher] = self._numbers.get(publisher, 0) + 1
        return number

    def acknowledge(self, receipt: Receipt, *, failed_before: bool) -> None:
        with self._changed:
            self.receipts.append(receipt)
            self.broken_promises += failed_before
            self._changed.notify_all()

    def refuse(self, status: int, text: str) -> None:
        with self._changed:
            self.refusals.append((status, text))
            self._changed.notify_all()

    def wait_for_receipts(self, count: int) -> None:
        """Wait until *count* more events are acknowledged."""
        wanted = len(self.receipts) + count
        self._wait(lambda: len(self.receipts) >= wanted)

    def wait_for_refusal(self, *, after: int = 0) -> str:
        """Wait until more than *after* events are refused; the text of the last refusal."""
        self._wait(lambda: len(self.refusals) > after)
        return self.refusals[-1][1]

    def forget_since(self, moment: float) -> None:
        """Count only what was acknowledged before *moment* (monotonic seconds)."""
        self.receipts[:] = [receipt for receipt in self.receipts if receipt.since < moment]

    def _wait(self, reached: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(reached, 3 * PATIENCE), f"stuck at {len(self.receipts)}: {self.refusals[:3]}"


@contextmanager
def publishing(server: ServerProcess, journal: Journal, *, publishers: int = 16, padding: int = 0) -> Iterator[None]:
    """Have *publishers* publish side by side until the block ends; after a failure they soon give up.

    *padding* is how many bytes each event is made longer by.
    """
    with side_by_side(_publish, [(server.port, journal, publisher, padding) for publisher in range(publishers)]):
        yield


def _publish(port: int, journal: Journal, publisher: int, padding: int, stopping: threading.Event) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2 * PATIENCE)
    failures = 0
    try:
        while not stopping.is_set() and failures <= TRIES_AFTER_FAILURE:
            status = _publish_one(connection, journal, publisher, padding, failed_before=failures > 0)
            failures += status == FAILED
    except (OSError, http.client.HTTPException):
        return
    finally:
        connection.close()


def _publish_one(
    connection: http.client.HTTPConnection, journal: Journal, publisher: int, padding: int, *, failed_before: bool
) -> int:
    """Publish one event; the status of the answer."""
    payload = Number(publisher, journal.next_number(publisher), "x" * padding)
    connection.request("POST", "/", encode_draft(payload))
    answer = connection.getresponse()
    text = answer.read().decode()
    if answer.status != 202:
        journal.refuse(answer.status, text)
        return answer.status
    given = Receipt(payload, answer.headers[EVENT_ID], int(answer.headers[EVENT_INDEX]), time.monotonic())
    journal.acknowledge(given, failed_before=failed_before)
    return answer.status


def encode_draft(payload: Number) -> bytes:
    """An event to publish: of every three publishers one leaves the id to Bus, one chooses it, one gives a key."""
    draft = {"subject": f"app.faults.p{payload.publisher}", "payload": payload}
    name = f"p{payload.publisher}-{payload.number}"
    match payload.publisher % 3:
        case 1:
            draft["id"] = name
        case 2:
            draft["key"] = name
    return msgspec.json.encode(draft)


_stored = msgspec.json.Decoder(Stored)


def read_back(server: ServerProcess, pattern: str = "app.faults.*") -> list[Stored]:
    """Everything *server* has of what was published here."""
    target = f"/?subject={pattern}&start=oldest&follow=false"
    answer = request(server, "GET", target, Accept=NDJSON, timeout=5 * PATIENCE)
    assert answer.status == 200, answer
    return _stored.decode_lines(answer.body)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of what was acknowledged. All but the first two should be empty or zero."""

    acknowledged: int
    stored: int
    lost: Sequence[Receipt]
    moved: Sequence[Receipt]
    doubled: int
    holes: int
    out_of_order: int
    broken_promises: int

    def check(self) -> None:
        """Everything acknowledged is there, in its place and in order, once; nothing was promised after a failure."""
        assert not self.lost, f"{len(self.lost)} of {self.acknowledged} lost, the first is {self.lost[0]}"
        assert not self.moved, f"{len(self.moved)} are not where the answer said, the first is {self.moved[0]}"
        wrong = (self.doubled, self.holes, self.out_of_order, self.broken_promises)
        assert wrong == (0, 0, 0, 0), f"doubled, holes, out of order, acknowledged after a failure: {wrong}"


def judge(journal: Journal, stored: Sequence[Stored], *, since: int = 1) -> Verdict:
    """Compare what was acknowledged with what is *stored*, from the event *since* on."""
    found = {event.payload: event for event in stored}
    wanted = [receipt for receipt in journal.receipts if receipt.index >= since]
    lost = [receipt for receipt in wanted if receipt.payload not in found]
    kept = [(receipt, found[receipt.payload]) for receipt in wanted if receipt.payload in found]
    indexes = [event.index for event in stored]
    return Verdict(
        acknowledged=len(wanted),
        stored=len(stored),
        lost=lost,
        moved=[receipt for receipt, event in kept if (receipt.id, receipt.index) != (event.id, event.index)],
        doubled=len(stored) - len(found),
        holes=sum(after != before + 1 for before, after in pairwise(indexes)) + (indexes[:1] > [since]),
        out_of_order=_out_of_order(stored),
        broken_promises=journal.broken_promises,
    )


def _out_of_order(stored: Sequence[Stored]) -> int:
    """How many events come after a later one of the same publisher."""
    latest: dict[int, int] = {}
    wrong = 0
    for event in stored:
        wrong += event.payload.number < latest.get(event.payload.publisher, 0)
        latest[event.payload.publisher] = event.payload.number
    return wrong
