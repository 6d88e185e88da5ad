"""A disk that fails, lies or is full: nothing is acknowledged after a failure, and everything before it is kept."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import StartServer
from tests.faults.conftest import Figure
from tests.faults.disks import SmallDisk, needs_mount
from tests.faults.load import Journal, Number, encode_draft, judge, publishing, read_back
from tests.faults.tracing import fault, needs_strace, tracing
from tests.support import Answer, ServerProcess, connect, request

pytestmark = pytest.mark.timeout(300)


def publish(server: ServerProcess, number: int, *, publisher: int = 0) -> Answer:
    return request(server, "POST", "/", encode_draft(Number(publisher, number)), Connection="close")


def numbers(server: ServerProcess) -> list[int]:
    """The numbers of what is stored."""
    return [event.payload.number for event in read_back(server)]


def log_of(server: ServerProcess) -> Path:
    return server.path / "app" / f"{1:020}.log"


def is_ready(server: ServerProcess) -> bool:
    answer = request(server, "GET", "/readyz")
    assert answer.status in (200, 503)
    return answer.status == 200


BROKEN = {
    "sync fails": ("fdatasync", "error=EIO:when=3"),
    "write fails": ("pwrite64", "error=EIO:when=3"),
    "every write is short": ("pwrite64", "retval=5:when=3+"),
    "write is claimed and not done": ("pwrite64", "retval=100000:when=3"),
    "read-only file system": ("pwrite64", "error=EROFS:when=3"),
}


@needs_strace
@pytest.mark.parametrize("how", BROKEN)
def test_after_a_failure_nothing_is_acknowledged_until_a_restart(start_server: StartServer, how: str) -> None:
    server = start_server()
    assert publish(server, 1).status == 202
    calls, what = BROKEN[how]
    with tracing(server, *fault(calls, what, path=log_of(server))):
        answers = [publish(server, number) for number in range(2, 8)]
    assert [answer.status for answer in answers] == [202, 202, 503, 503, 503, 503]
    assert answers[2].text.count("\n") <= 1
    assert "check the disk" in answers[2].text or "restart" in answers[2].text
    assert publish(server, 8).status == 503
    assert not is_ready(server)
    assert request(server, "GET", "/healthz").status == 200
    assert numbers(server) == [1, 2, 3]
    assert request(server, "POST", "/", b'{"subject": "orders.a"}').status == 202
    server.restart()
    assert numbers(server) in ([1, 2, 3], [1, 2, 3, 4])
    assert is_ready(server)
    assert publish(server, 9).status == 202
    assert numbers(server)[-1] == 9


@needs_strace
def test_a_short_write_is_done_again(start_server: StartServer) -> None:
    server = start_server()
    assert publish(server, 1).status == 202
    with tracing(server, *fault("pwrite64", "retval=5:when=2", path=log_of(server))):
        assert [publish(server, number).status for number in range(2, 6)] == [202] * 4
    server.kill()
    server.restart()
    assert numbers(server) == [1, 2, 3, 4, 5]


@needs_strace
def test_a_sync_that_failed_between_answers_is_told_by_readyz(start_server: StartServer) -> None:
    server = start_server(flags=["--fsync", "interval", "--fsync-interval", "50ms"])
    assert publish(server, 1).status == 202
    with tracing(server, *fault("fdatasync", "error=EIO", path=log_of(server))):
        publish(server, 2)
        server.wait_for_log("Input/output error")
    assert not is_ready(server)
    assert publish(server, 3).status == 503


@needs_strace
def test_a_key_counts_as_used_only_when_its_event_is_stored(start_server: StartServer) -> None:
    server = start_server()
    assert publish(server, 1, publisher=2).status == 202
    with tracing(server, *fault("pwrite64", "error=ENOSPC:when=1", path=log_of(server))):
        assert publish(server, 2, publisher=2).status == 507
        assert publish(server, 2, publisher=2).status == 202
        assert publish(server, 2, publisher=2).status == 409
    assert numbers(server) == [1, 2]


@needs_strace
@pytest.mark.parametrize("times", ["when=2", "when=2..6"])
def test_no_room_is_507_and_nothing_half_written(start_server: StartServer, times: str) -> None:
    server = start_server()
    assert publish(server, 1).status == 202
    with tracing(server, *fault("pwrite64", f"error=ENOSPC:{times}", path=log_of(server))):
        answers = [publish(server, number) for number in range(2, 12)]
    refused = [number for number, answer in enumerate(answers, 2) if answer.status != 202]
    assert {answers[number - 2].status for number in refused} == {507}
    assert "no room" in answers[refused[0] - 2].text
    kept = [number for number in range(1, 12) if number not in refused]
    assert numbers(server) == kept
    assert is_ready(server)
    server.restart()
    assert "cut off" not in server.log
    assert numbers(server) == kept


@needs_mount
def test_a_full_disk_takes_events_again_when_there_is_room(
    start_server: StartServer, small_disk: SmallDisk, figure: Figure
) -> None:
    small_disk.take(1 << 20)
    server, journal = start_server(small_disk.place / "data", flags=["--segment-size", "512KiB"]), Journal()
    with publishing(server, journal, publishers=4, padding=2000):
        assert "no room" in journal.wait_for_refusal()
    assert {status for status, _ in journal.refusals} == {507}
    full = len(journal.receipts)
    judge(journal, read_back(server)).check()
    small_disk.give_back()
    refusals = len(journal.refusals)
    with publishing(server, journal, publishers=4, padding=2000):
        journal.wait_for_receipts(50)
    assert len(journal.refusals) == refusals
    judge(journal, read_back(server)).check()
    server.restart()
    judge(journal, read_back(server)).check()
    figure("full disk: acknowledged until it was full / lost", f"{full} / 0")


@needs_mount
def test_a_full_disk_takes_events_again_when_retention_makes_room(
    start_server: StartServer, small_disk: SmallDisk
) -> None:
    flags = ["--segment-size", "256KiB", "--retention", "app=1MB"]
    server, journal = start_server(small_disk.place / "data", flags=flags), Journal()
    with publishing(server, journal, publishers=4, padding=2000):
        journal.wait_for_refusal()
        server.wait_for_log("retention deleted")
    with publishing(server, journal, publishers=4, padding=2000):
        journal.wait_for_receipts(50)
    stored = read_back(server)
    judge(journal, stored, since=stored[0].index).check()


@needs_mount
def test_a_server_starts_on_a_full_disk_and_serves_what_is_there(
    start_server: StartServer, small_disk: SmallDisk
) -> None:
    server, journal = start_server(small_disk.place / "data"), Journal()
    with publishing(server, journal, publishers=4, padding=2000):
        journal.wait_for_refusal()
    server.restart()
    judge(journal, read_back(server)).check()
    assert publish(server, 10**6).status in (202, 507)


def test_out_of_descriptors_refuses_connections_and_nothing_else(start_server: StartServer) -> None:
    server = start_server(wrapper=["prlimit", "--nofile=48:48"], flags=["--segment-size", "1KiB"])
    journal = Journal()
    with ExitStack() as crowd:
        held = [crowd.enter_context(connect(server.port)) for _ in range(64)]
        assert len(held) == 64
        with connect(server.port):
            pass
    with publishing(server, journal, publishers=4, padding=200):
        journal.wait_for_receipts(40)
    judge(journal, read_back(server)).check()
    assert is_ready(server)
