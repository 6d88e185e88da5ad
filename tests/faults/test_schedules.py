"""Killed at each system call around the moment they are due, scheduled events are published once.

After a power cut all that were kept are there.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from bus import Client
from tests.faults import schedule_workload
from tests.faults.conftest import Figure
from tests.faults.disks import LoopDisk, needs_mount
from tests.faults.rounds import rounds
from tests.faults.tracing import CHANGES, needs_strace
from tests.server.support import read
from tests.support import ServerProcess, clean_environment, request

pytestmark = pytest.mark.timeout(900)

FILES = {
    "its own file": ("schedules.db", "schedules.db-wal"),
    "the log": ("00000000000000000001.log",),
}


def run(place: Path, files: Sequence[str], call: str, ordinal: int) -> tuple[int, str]:
    """Run the workload, killed at the call *ordinal* of this name on one of *files*; its status, and what it said."""
    shutil.rmtree(place, ignore_errors=True)
    paths = [word for name in files for word in ("-P", str(place / "app" / name))]
    kill = f"inject={call}:signal=KILL:when={ordinal}"
    command = ["strace", "-f", "-o", "/dev/null", *paths, "-e", f"trace={call}", "-e", kill]
    ended = subprocess.run(
        [*command, sys.executable, schedule_workload.__file__, str(place)],
        capture_output=True, text=True, timeout=60, env=clean_environment(),
    )  # fmt: skip
    assert ended.returncode in (0, -signal.SIGKILL, 128 + signal.SIGKILL), ended.stderr
    return ended.returncode, ended.stdout


def check(place: Path, said: str) -> None:
    """A server on what is left publishes everything that was kept, once, and nothing that was cancelled."""
    server = ServerProcess(place)
    try:
        with Client(server.url) as client:
            while client.schedules.list("app.*", limit=1) and not _waits_for_long(server):
                pass
        published = Counter(event["payload"] for event in read(server, "app.*"))
    finally:
        server.close()
    assert set(published.values()) <= {1}, f"published twice: {published}, said {said!r}"
    for line in said.splitlines():
        word, number = line.split()
        assert published[int(number)] == (word == "kept"), f"{line}, and published {published}"


def _waits_for_long(server: ServerProcess) -> bool:
    """Whether what is left is the event that was to be cancelled."""
    found = msgspec.json.decode(request(server, "GET", "/v1/schedules").body)["schedules"]
    return [one["subject"] for one in found] == ["app.n0"]


@needs_strace
@pytest.mark.parametrize("files", FILES)
def test_killed_at_each_call_a_scheduled_event_is_published_once(tmp_path: Path, figure: Figure, files: str) -> None:
    kills = 0
    for call in CHANGES.split(","):
        ordinal = 1
        while True:
            status, said = run(tmp_path / "data", FILES[files], call, ordinal)
            check(tmp_path / "data", said)
            if status == 0:
                break
            ordinal += 1
            kills += 1
    assert kills
    figure(f"killed at each system call on {files} of scheduled events: calls", kills)


@needs_mount
def test_a_power_cut_loses_no_scheduled_event(loop_disk: LoopDisk, figure: Figure) -> None:
    cuts = rounds(short=2, full=10)
    kept: set[str] = set()
    for cut in range(cuts):
        server = ServerProcess(loop_disk.place / "data")
        try:
            with Client(server.url) as client:
                for number in range(20):
                    kept.add(client.put("app.later", [cut, number], delay="1h").schedule_id)
                loop_disk.cut_power()
        finally:
            server.close()
        loop_disk.start_again()
    server = ServerProcess(loop_disk.place / "data")
    try:
        with Client(server.url) as client:
            assert {found.id for found in client.schedules.list()} == kept
    finally:
        server.close()
    figure("power cuts, scheduled events: kept / lost", f"{len(kept)} / 0")


@needs_mount
def test_the_control_for_that_without_syncing_scheduled_events_are_lost(loop_disk: LoopDisk) -> None:
    server = ServerProcess(loop_disk.place / "data", flags=["--fsync", "never"])
    try:
        with Client(server.url) as client:
            client.put("app.later", 1, delay="1h")
            loop_disk.cut_power()
    finally:
        server.close()
    loop_disk.start_again()
    server = ServerProcess(loop_disk.place / "data")
    try:
        with Client(server.url) as client:
            assert client.schedules.list() == []
    finally:
        server.close()
