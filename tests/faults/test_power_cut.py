"""A power cut under load: what was acknowledged is there afterwards.

An answer counts if it arrived before the cut began: later ones would not leave a machine without power. Here they
can, because ext4 lets a sync that is under way at the moment of its shutdown return without an error.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import msgspec
import pytest

from bus.engine.embedded.checkpoints import FLUSH_SECONDS
from tests.conftest import StartServer
from tests.faults.conftest import Figure
from tests.faults.disks import LoopDisk, needs_mount
from tests.faults.load import Journal, Number, Verdict, encode_draft, judge, publishing, read_back
from tests.faults.rounds import rounds
from tests.support import PATIENCE, ServerProcess, request, subscribe

pytestmark = [needs_mount, pytest.mark.timeout(600)]

EVENTS = 600
PLAIN: Mapping[str, str] = {}
SECRET = {"BUS_SECRET_KEY": "a secret for the tests"}
INTERVAL = 0.2
SLACK = 3.0
"""Seconds that a sync may take on a machine that is busy with other tests."""


def start(disk: LoopDisk, *flags: str, env: Mapping[str, str] = PLAIN) -> ServerProcess:
    return ServerProcess(disk.place / "data", flags=["--segment-size", "256KiB", *flags], env=env)


def cut_power(disk: LoopDisk, journal: Journal, server: ServerProcess) -> float:
    """Cut the power, end the server when it has noticed, mount what is left; returns when that was."""
    when, refused = time.monotonic(), len(journal.refusals)
    disk.cut_power()
    journal.wait_for_refusal(after=refused)
    server.kill()
    journal.forget_since(when)
    return when


def cut_power_under_load(disk: LoopDisk, journal: Journal, *flags: str, env: Mapping[str, str] = PLAIN) -> None:
    """Cut the power when `EVENTS` are acknowledged."""
    server = start(disk, *flags, env=env)
    try:
        with publishing(server, journal, publishers=16, padding=200):
            journal.wait_for_receipts(EVENTS)
            cut_power(disk, journal, server)
    finally:
        server.close()
    disk.start_again()


def look(disk: LoopDisk, journal: Journal, env: Mapping[str, str] = PLAIN) -> Verdict:
    """Start a server on what is left, and judge."""
    server = start(disk, env=env)
    try:
        return judge(journal, read_back(server))
    finally:
        server.close()


@pytest.mark.parametrize("env", [PLAIN, SECRET], ids=["plain", "encrypted"])
def test_a_power_cut_loses_nothing(loop_disk: LoopDisk, figure: Figure, env: Mapping[str, str]) -> None:
    journal, cuts = Journal(), rounds(short=2, full=10)
    for _ in range(cuts):
        cut_power_under_load(loop_disk, journal, env=env)
        verdict = look(loop_disk, journal, env)
        verdict.check()
    kind = "encrypted" if env else "plain"
    assert {status for status, _ in journal.refusals} == {503}
    figure(f"power cuts, fsync=always, {kind}: cuts", cuts)
    figure(f"power cuts, fsync=always, {kind}: acknowledged / lost", f"{verdict.acknowledged} / 0")


def test_the_control_for_that_does_not_sync_and_loses(loop_disk: LoopDisk, figure: Figure) -> None:
    journal = Journal()
    cut_power_under_load(loop_disk, journal, "--fsync", "never", "--segment-size", "16MiB")
    verdict = look(loop_disk, journal)
    assert len(verdict.lost) > 0
    figure("power cuts, control fsync=never: acknowledged / lost", f"{verdict.acknowledged} / {len(verdict.lost)}")


def test_under_interval_a_power_cut_loses_the_window_at_most(loop_disk: LoopDisk, figure: Figure) -> None:
    journal = Journal()
    server = start(loop_disk, "--fsync", "interval", "--fsync-interval", f"{INTERVAL:.1f}s")
    try:
        with publishing(server, journal, publishers=4, padding=200):
            began = time.monotonic()
            while time.monotonic() < began + 2 * SLACK:
                journal.wait_for_receipts(100)
            cut = cut_power(loop_disk, journal, server)
    finally:
        server.close()
    loop_disk.start_again()
    verdict = look(loop_disk, journal)
    oldest = max((cut - receipt.since for receipt in verdict.lost), default=0.0)
    assert oldest < INTERVAL + SLACK
    assert not verdict.moved
    figure("power cut, fsync=interval 200 ms: acknowledged / lost", f"{verdict.acknowledged} / {len(verdict.lost)}")
    figure(
        "power cut, fsync=interval 200 ms: oldest lost event, acknowledged before the cut", f"{oldest * 1000:.0f} ms"
    )


def publish(server: ServerProcess, *numbers: int) -> None:
    for number in numbers:
        assert request(server, "POST", "/", encode_draft(Number(0, number))).status == 202


def work_off(server: ServerProcess, **bounds: object) -> list[int]:
    """Take and acknowledge what a durable consumer gets within *bounds*; the numbers of the events."""
    wanted = {"start": "oldest", "ack": "manual", "consumer": "c", "redelivery": "1m", **bounds}
    numbers = []
    with subscribe(server, "app.faults.*", timeout=PATIENCE, last_event_id="", **wanted) as stream:
        while (event := stream.next()).kind != "done":
            if event.kind == "msg":
                numbers.append(msgspec.json.decode(event.data)["payload"]["number"])
                consumer_id = stream.headers["x-bus-consumer-id"]
                request(server, "PUT", f"/?consumer_id={consumer_id}&event_id={event.id}")
    return numbers


def test_what_was_answered_about_a_consumer_holds_after_a_power_cut(loop_disk: LoopDisk, figure: Figure) -> None:
    cuts = rounds(short=2, full=10)
    for number in range(cuts):
        server, path = start(loop_disk), f"/v1/consumers/managed-{number}"
        try:
            publish(server, *range(20))
            assert request(server, "PUT", path, b'{"patterns": ["app.>"], "start": "oldest"}').status == 201
            moved = request(server, "POST", f"{path}/position", b'{"to": "+7"}')
            assert request(server, "PUT", path, b'{"paused": true}').status == 200
            loop_disk.cut_power()
            server.kill()
        finally:
            server.close()
        loop_disk.start_again()
        server = start(loop_disk)
        try:
            found = msgspec.json.decode(request(server, "GET", path).body)
        finally:
            server.close()
        assert (found["next_index"], found["paused"]) == (msgspec.json.decode(moved.body)["to"], True)
    figure("power cuts after a move and a pause: cuts / forgotten", f"{cuts} / 0")


@pytest.mark.parametrize("fsync", ["always", "never"])
def test_a_durable_consumer_skips_nothing_after_a_power_cut(
    start_server: StartServer, loop_disk: LoopDisk, fsync: str
) -> None:
    """Under ``never`` the log loses what its consumer has settled already, and gives those indexes again."""
    server = start_server(loop_disk.place / "data", flags=["--fsync", fsync])
    publish(server, *range(40))
    assert work_off(server, limit=30) == list(range(30))
    time.sleep(4 * FLUSH_SECONDS)  # until the place is written, which nothing tells from outside
    loop_disk.cut_power()
    server.kill()
    loop_disk.start_again()
    server.restart()
    publish(server, *range(40, 80))
    stored = [event.payload.number for event in read_back(server)]
    assert (stored == list(range(80))) == (fsync == "always")
    worked_off = work_off(server, follow="false")
    assert worked_off == stored[-len(worked_off) :]
    assert [number for number in worked_off if number >= 30] == [number for number in stored if number >= 30]
    server.close()
