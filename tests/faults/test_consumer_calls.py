"""Killed at each of its system calls in turn, a server knows of each consumer what it has answered about it."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bus.consumer import ConsumerDescription
from tests.faults import consumer_workload
from tests.faults.conftest import Figure
from tests.faults.tracing import CHANGES, Call, needs_strace, read_trace, strace

pytestmark = [needs_strace, pytest.mark.timeout(900)]

DATABASE = "consumers.db"


def run(place: Path, trace: Path, *options: str) -> tuple[int, list[str]]:
    """Run the workload under strace; how it ended, and what it said."""
    shutil.rmtree(place, ignore_errors=True)
    command = [*strace(trace, "-e", f"trace=openat,{CHANGES}", *options), sys.executable, consumer_workload.__file__]
    ended = subprocess.run([*command, str(place)], capture_output=True, text=True, timeout=60)
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended.returncode, ended.stdout.splitlines()


def calls_in(trace: Path) -> list[Call]:
    """The calls that changed the file of consumers, or made it stay."""
    return [call for call in read_trace(trace) if DATABASE in call.text and call.name != "openat"]


async def look(place: Path) -> ConsumerDescription | None:
    """What is kept of the consumer."""
    engine = consumer_workload.open_engine(place, asyncio.get_running_loop())
    try:
        found = await engine.consumers.describe()
        return found[0] if found else None
    finally:
        engine.close()


def check(place: Path, said: list[str]) -> None:
    """What was answered last is so, or what was asked next."""
    found = asyncio.run(look(place))
    allowed = {"place": "", "paused": "no", "patterns": "app.a"} | dict(line.split() for line in said)
    if not found:
        assert not said, "it was answered that it was made"
        return
    now = {"place": str(found.next_index), "paused": "yes" if found.paused else "no", "patterns": found.patterns[0]}
    differing = [name for name in now if now[name] != allowed[name]]
    assert len(differing) <= 1, f"answered {allowed}, and now it is {now}"
    if differing:
        assert f"{differing[0]} {now[differing[0]]}" == following(said), f"answered {allowed}, and now it is {now}"


def following(said: list[str]) -> str:
    """What the workload says next."""
    return EVERYTHING[len(said)] if len(said) < len(EVERYTHING) else ""


EVERYTHING: list[str] = []
"""What an unharmed run says."""


def test_killed_at_each_call_of_its_management(tmp_path: Path, figure: Figure) -> None:
    place, trace = tmp_path / "data", tmp_path / "trace"
    status, EVERYTHING[:] = run(place, trace)
    assert (status, EVERYTHING[-1]) == (0, "patterns app.b")
    calls = calls_in(trace)
    for call in calls:
        status, said = run(place, trace, "-e", f"inject={call.name}:signal=KILL:when={call.ordinal}")
        assert status == -signal.SIGKILL, f"not killed at {call}"
        check(place, said)
    figure("killed at each system call of a consumer's management: calls", len(calls))


def test_each_answer_comes_after_a_sync_of_what_it_says(tmp_path: Path) -> None:
    """A kill leaves what was written in the page cache; only a sync survives a power cut."""
    trace = tmp_path / "trace"
    _, said = run(tmp_path / "data", trace, "-e", f"trace=write,{CHANGES}")
    answers, written, synced = 0, False, False
    for call in read_trace(trace):
        if (call.name == "write" and '"place' in call.text) or '"paused' in call.text or '"patterns' in call.text:
            assert written and synced, f"before {call.text}"
            answers, written, synced = answers + 1, False, False
        elif DATABASE in call.text:
            written = written or call.name == "pwrite64"
            synced = written if call.name in ("fdatasync", "fsync") else False
    assert answers == len(said)


def test_the_control_for_that_an_answer_that_is_not_kept_is_noticed(tmp_path: Path) -> None:
    place = tmp_path / "data"
    _, EVERYTHING[:] = run(place, tmp_path / "trace")
    for wrong in (["place 7"], ["patterns app.c"]):
        with pytest.raises(AssertionError, match="answered"):
            check(place, [*EVERYTHING, *wrong])
