"""Publishers that publish over HTTP to any of several Bus servers, by keys, until each event is acknowledged."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec

from bus.wire import EVENT_INDEX, NDJSON
from tests.cluster.load import PUBLISHERS, Number, Receipt, Stored
from tests.support import PATIENCE, Listening, request
from tests.threads import side_by_side

ACKNOWLEDGED = (202, 409)
"""A 409 tells where the event with this key already is."""
REPEATABLE = (502, 503, 504)


class _Event(msgspec.Struct, frozen=True):
    index: int
    payload: Number


@dataclass(slots=True)
class Promises:
    """What was acknowledged, by whichever server."""

    receipts: list[Receipt] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def acknowledge(self, receipt: Receipt) -> None:
        with self._changed:
            self.receipts.append(receipt)
            self._changed.notify_all()

    def wait_for(self, count: int) -> None:
        """Return when *count* more events are acknowledged."""
        wanted = len(self.receipts) + count
        with self._changed:
            enough = self._changed.wait_for(lambda: len(self.receipts) >= wanted or self.refused, 3 * PATIENCE)
        assert enough and not self.refused, f"stuck at {len(self.receipts)}: {self.refused[:3]}"


@contextmanager
def publishing(servers: Sequence[Listening], promises: Promises, *, namespace: str = "app") -> Iterator[None]:
    """Have all publishers publish until the block ends, each to the next server when one fails it."""
    with side_by_side(_publish, [(publisher, servers, promises, namespace) for publisher in range(PUBLISHERS)]):
        yield


def _publish(
    publisher: int, servers: Sequence[Listening], promises: Promises, namespace: str, stopping: threading.Event
) -> None:
    number, turn = 1, publisher
    subject = f"{namespace}.cluster.p{publisher}"
    while not stopping.is_set():
        connection = http.client.HTTPConnection("127.0.0.1", servers[turn % len(servers)].port, timeout=2 * PATIENCE)
        turn += 1
        try:
            while not stopping.is_set() and _publish_one(connection, promises, subject, Number(publisher, number)):
                number += 1
        except (OSError, http.client.HTTPException):
            time.sleep(0.02)
        finally:
            connection.close()


def _publish_one(connection: http.client.HTTPConnection, promises: Promises, subject: str, message: Number) -> bool:
    """Whether *message* is acknowledged; if it isn't, another server is to be asked."""
    key = f"p{message.publisher}-{message.number}"
    draft = {"subject": subject, "key": key, "payload": message}
    connection.request("POST", "/", msgspec.json.encode(draft))
    answer = connection.getresponse()
    text = answer.read().decode()
    if answer.status in ACKNOWLEDGED:
        promises.acknowledge(Receipt(message, int(answer.headers[EVENT_INDEX]), time.monotonic()))
        return True
    if answer.status not in REPEATABLE:
        promises.refused.append(f"{answer.status} {text}")
    return False


def read_back(server: Listening, *, namespace: str = "app") -> list[Stored]:
    """Everything *server* has of it."""
    target = f"/?subject={namespace}.cluster.*&start=oldest&follow=false"
    answer = request(server, "GET", target, Accept=NDJSON, timeout=5 * PATIENCE)
    assert answer.status == 200, answer
    return [Stored(event.payload, event.index) for event in msgspec.json.Decoder(_Event).decode_lines(answer.body)]
