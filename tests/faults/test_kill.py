"""The server killed under load, by chance and at each of its system calls: what was acknowledged is there again.

This says nothing about syncing, for the kernel keeps what a killed process wrote; see ``test_power_cut.py`` for that.
"""

from __future__ import annotations

import http.client
from itertools import count
from pathlib import Path

import msgspec
import pytest

from bus.wire import EVENT_ID, EVENT_INDEX
from tests.conftest import StartServer
from tests.faults.conftest import Figure
from tests.faults.load import Journal, Number, Receipt, encode_draft, judge, publishing, read_back
from tests.faults.rounds import rounds
from tests.faults.tracing import CHANGES, fault, needs_strace, tracing
from tests.support import PATIENCE, ServerProcess, request, subscribe

pytestmark = pytest.mark.timeout(900)

SMALL_SEGMENTS = ("--segment-size", "16KiB")


@pytest.mark.parametrize("secret", ["", "a secret"], ids=["plain", "encrypted"])
def test_killed_under_load_again_and_again(start_server: StartServer, figure: Figure, secret: str) -> None:
    env = {"BUS_SECRET_KEY": secret} if secret else {}
    server, journal, kills = start_server(flags=SMALL_SEGMENTS, env=env), Journal(), rounds(short=4, full=30)
    for number in range(kills):
        with publishing(server, journal, publishers=8, padding=50):
            journal.wait_for_receipts(100 + 37 * number % 150)
            server.kill()
        server.restart()
        verdict = judge(journal, read_back(server))
        verdict.check()
    kind = "encrypted" if secret else "plain"
    figure(f"kill -9 under load, {kind}: kills", kills)
    figure(f"kill -9 under load, {kind}: acknowledged / lost", f"{verdict.acknowledged} / 0")


def test_the_control_for_that_a_log_that_lost_events_is_noticed(start_server: StartServer) -> None:
    server, journal = start_server(), Journal()
    with publishing(server, journal, publishers=4):
        journal.wait_for_receipts(50)
        server.kill()
    log = server.path / "app" / f"{1:020}.log"
    log.write_bytes(log.read_bytes().rstrip(b"\0")[:-3000])
    server.restart()
    with pytest.raises(AssertionError, match="lost"):
        judge(journal, read_back(server)).check()


def live(server: ServerProcess, journal: Journal, delivered: set[int]) -> int:
    """A life: publish, consume and acknowledge some events one by one, then stop; returns the exit status."""
    try:
        with subscribe(server, "app.faults.*", start="oldest", ack="manual", consumer="c", redelivery="1m") as stream:
            consumer_id = stream.headers["x-bus-consumer-id"]
            for number in range(12):
                publish(server, journal, number)
                (event,) = stream.take(1)
                delivered.add(msgspec.json.decode(event.data)["index"])
                request(server, "PUT", f"/?consumer_id={consumer_id}&event_id={event.id}")
        return server.stop()
    except (OSError, EOFError, AssertionError, http.client.HTTPException):
        status = server.process.wait(PATIENCE)
        server.kill()
        return status


def publish(server: ServerProcess, journal: Journal, publisher: int) -> None:
    payload = Number(publisher, journal.next_number(publisher), "x" * 100)
    answer = request(server, "POST", "/", encode_draft(payload))
    assert answer.status == 202, answer
    headers = answer.headers
    receipt = Receipt(payload, headers[EVENT_ID.lower()], int(headers[EVENT_INDEX.lower()]), 0.0)
    journal.acknowledge(receipt, failed_before=False)


def drain(server: ServerProcess, delivered: set[int]) -> None:
    """Take and acknowledge what the consumer has left to get."""
    wanted = {"ack": "manual", "consumer": "c", "follow": "false", "redelivery": "1m", "start": "oldest"}
    with subscribe(server, "app.faults.*", timeout=PATIENCE, last_event_id="", **wanted) as stream:
        while (event := stream.next()).kind != "done":
            if event.kind == "msg":
                delivered.add(msgspec.json.decode(event.data)["index"])
                consumer_id = stream.headers["x-bus-consumer-id"]
                request(server, "PUT", f"/?consumer_id={consumer_id}&event_id={event.id}")


@needs_strace
def test_killed_at_the_kth_of_each_system_call(start_server: StartServer, tmp_path: Path, figure: Figure) -> None:
    """Each thread counts its own calls of each kind: for every k all threads live to their k-th or end there."""
    kills = 0
    for k in count(1, rounds(short=4, full=1)):
        server = start_server(tmp_path / str(k), flags=["--segment-size", "1KiB"])
        journal, delivered = Journal(), set[int]()
        with tracing(server, *fault(CHANGES, f"signal=KILL:when={k}")):
            status = live(server, journal, delivered)
        server.restart()
        stored = read_back(server)
        judge(journal, stored).check()
        drain(server, delivered)
        assert delivered == {event.index for event in stored}
        server.close()
        if status == 0:
            break
        kills += 1
    figure("server killed at its k-th change of the disk, for k = 1, 2, …: kills", kills)
