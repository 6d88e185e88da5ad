"""Killed at each of its system calls in turn, a server counts its subjects as they are in the log."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bus.engine.embedded.subjects.file import SUBJECTS_FILE
from bus.storage.log import Log
from tests.faults import subject_workload
from tests.faults.conftest import Figure
from tests.faults.tracing import CHANGES, Call, needs_strace, read_trace, strace

pytestmark = [needs_strace, pytest.mark.timeout(900)]


def run(place: Path, trace: Path, *options: str) -> int:
    """Run the workload under strace; how it ended."""
    shutil.rmtree(place, ignore_errors=True)
    command = [
        *strace(trace, "-e", f"trace=openat,{CHANGES}", *options),
        sys.executable,
        "-m",
        subject_workload.__name__,
    ]
    ended = subprocess.run([*command, str(place)], capture_output=True, text=True, timeout=60)
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended.returncode


def calls_in(trace: Path) -> list[Call]:
    """The calls that changed the log or its table, or made them stay."""
    return [call for call in read_trace(trace) if "/app/" in call.text and call.name != "openat"]


Counts = dict[str, tuple[int, int]]
"""How many events each subject has, and which is the newest."""


async def known(place: Path) -> Counts:
    """What the table says."""
    engine = subject_workload.open_engine(place, asyncio.get_running_loop())
    try:
        page = await engine.events.subjects(subject_workload.EVERYTHING, after="", limit=100)
        return {row.subject: (row.events, row.last_index) for row in page.subjects}
    finally:
        engine.close()


def stored(place: Path) -> Counts:
    """What the log says."""
    events: Counter[str] = Counter()
    last: dict[str, int] = {}
    with Log.open(place / "app", read_only=True) as log:
        for segment in log.segments:
            for batch in log.batches(segment):
                for index in range(batch.first, batch.next):
                    name = batch.subject(index).decode()
                    events[name] += 1
                    last[name] = index
    return {name: (events[name], last[name]) for name in events if name}


def check(place: Path) -> None:
    if (place / "app").is_dir():
        found = asyncio.run(known(place))
        assert found == stored(place)


def test_killed_at_each_call(tmp_path: Path, figure: Figure) -> None:
    place, trace = tmp_path / "data", tmp_path / "trace"
    assert run(place, trace) == 0
    check(place)
    calls = calls_in(trace)
    assert any(SUBJECTS_FILE in call.text for call in calls) and any(call.name.startswith("unlink") for call in calls)
    for call in calls:
        status = run(place, trace, "-e", f"inject={call.name}:signal=KILL:when={call.ordinal}")
        assert status == -signal.SIGKILL, f"not killed at {call}"
        check(place)
    figure("killed at each system call of a table of subjects: calls", len(calls))


def test_the_control_for_that_a_wrong_count_is_noticed(tmp_path: Path) -> None:
    """A row that was never written, in a table that says it is of all there is."""
    place = tmp_path / "data"
    assert run(place, tmp_path / "trace") == 0
    with sqlite3.connect(place / "app" / SUBJECTS_FILE) as database:
        database.execute("DELETE FROM subject WHERE subject = ?", (b"app.e",))
    database.close()
    with pytest.raises(AssertionError):
        check(place)
