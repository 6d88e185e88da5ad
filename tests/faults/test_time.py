"""Slow disks, servers that are stopped for a while, and clocks that jump."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import msgspec
import pytest

from tests.conftest import StartServer
from tests.faults.conftest import Figure
from tests.faults.load import Journal, judge, publishing, read_back
from tests.faults.rounds import rounds
from tests.faults.tracing import needs_strace, tracing
from tests.support import ServerProcess, Stream, request, subscribe

pytestmark = pytest.mark.timeout(200)

_FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
needs_faketime = pytest.mark.skipif(_FAKETIME is None, reason="makes the clock jump: needs Debian's package faketime")
DAY = 86400


def publish(server: ServerProcess, payload: int) -> str:
    """Publish an event; when it was created."""
    answer = request(server, "POST", "/", msgspec.json.encode({"subject": "app.a", "payload": payload}))
    assert answer.status == 202, answer
    return answer.headers["x-bus-event-created-at"]


def take(stream: Stream) -> tuple[str, int, int]:
    """Id, payload and attempts of the next event."""
    (event,) = stream.take(1)
    data = msgspec.json.decode(event.data)
    return event.id, data["payload"], data["attempts"]


def acknowledge(server: ServerProcess, stream: Stream, event_id: str) -> int:
    query = urlencode({"consumer_id": stream.headers["x-bus-consumer-id"], "event_id": event_id})
    return request(server, "PUT", f"/?{query}").status


@needs_strace
def test_a_slow_disk_slows_the_answers_and_loses_none(
    start_server: StartServer, tmp_path: Path, figure: Figure
) -> None:
    server, journal, trace = start_server(), Journal(), tmp_path / "trace"
    with tracing(server, "-o", str(trace), "-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_exit=50000"):
        with publishing(server, journal, publishers=32):
            journal.wait_for_receipts(rounds(short=500, full=3000))
        server.kill()
    server.restart()
    judge(journal, read_back(server)).check()
    syncs = trace.read_text().count("fdatasync(")
    assert syncs < len(journal.receipts) / 4
    figure("syncs that take 50 ms, 32 publishers: events acknowledged per sync", f"{len(journal.receipts) / syncs:.1f}")


def test_a_server_that_was_stopped_goes_on_as_if_nothing_were(start_server: StartServer) -> None:
    server = start_server()
    publish(server, 1)
    with subscribe(server, "app.a", start="oldest", ack="manual", redelivery="200ms", redelivery_count=0) as stream:
        event_id, payload, attempts = take(stream)
        assert (payload, attempts) == (1, 1)
        server.freeze()
        statuses: list[int] = []
        late = threading.Thread(target=lambda: statuses.append(acknowledge(server, stream, event_id)))
        late.start()
        time.sleep(0.5)  # longer than the redelivery time, which must pass while the server can't act
        server.signal(signal.SIGCONT)
        late.join()
        assert statuses == [202]
        publish(server, 2)
        while (found := take(stream))[1] == 1:
            assert found[2] == 2, "an event that was acknowledged is delivered again and again"
        assert found[1:] == (2, 1)


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[Path]:
    """A file that says by how much the server's clock is wrong."""
    clock = tmp_path / "clock"
    clock.write_text("+0")
    yield clock


@pytest.fixture
def server(start_server: StartServer, clock: Path) -> ServerProcess:
    """A server whose wall clock can be set, and whose monotonic clock can't, as everywhere."""
    fake = {
        "LD_PRELOAD": str(_FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    return start_server(env=fake)


def set_clock(clock: Path, seconds: int) -> None:
    clock.with_suffix(".new").write_text(f"{seconds:+}")
    clock.with_suffix(".new").rename(clock)


@needs_faketime
@pytest.mark.parametrize("days", [1, -1], ids=["forward", "back"])
def test_redelivery_goes_by_time_that_does_not_jump(server: ServerProcess, clock: Path, days: int) -> None:
    before = publish(server, 1)
    with (
        subscribe(server, "app.a", start="oldest", ack="manual", redelivery="1h", prefetch=2) as patient,
        subscribe(server, "app.a", start="oldest", ack="manual", redelivery="300ms", redelivery_count=0) as hasty,
    ):
        assert take(patient)[1:] == take(hasty)[1:] == (1, 1)
        set_clock(clock, days * DAY)
        after = publish(server, 2)
        assert (after > before) == (days > 0), "the clock did not jump"
        assert take(hasty)[1:] == (1, 2), "not delivered again although its time has passed"
        assert take(patient)[1:] == (2, 1), "delivered again although its time has not passed"


@needs_faketime
def test_events_keep_their_order_and_places_when_the_clock_goes_back(server: ServerProcess, clock: Path) -> None:
    for number in range(3):
        publish(server, number)
    set_clock(clock, -DAY)
    for number in range(3, 6):
        publish(server, number)
    server.restart()
    with subscribe(server, "app.a", start="oldest", follow="false") as stream:
        events = [msgspec.json.decode(event.data) for event in stream.rest() if event.kind == "msg"]
    assert [(event["index"], event["payload"]) for event in events] == [(n + 1, n) for n in range(6)]
