"""Killed at each of its system calls in turn, a server has what it answered, and nothing of a namespace it deleted."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import namespace_workload
from tests.faults.conftest import Figure
from tests.faults.tracing import CHANGES, Call, needs_strace, read_trace, strace

pytestmark = [needs_strace, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]

STEPS = {"pwrite64": "written", "fdatasync": "synced", "rename": "renamed"}

MARKS = ("orders", "other", "namespaces.", "consumers.db")
"""What is in the calls that have to do with namespaces."""


def run(place: Path, trace: Path, *options: str) -> tuple[int, list[str]]:
    """Run the workload under strace; how it ended, and what it said."""
    shutil.rmtree(place, ignore_errors=True)
    command = [*strace(trace, "-e", f"trace={CHANGES}", *options), sys.executable, "-m", namespace_workload.__name__]
    ended = subprocess.run([*command, str(place)], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended.returncode, ended.stdout.splitlines()


def calls_in(trace: Path) -> list[Call]:
    """The calls that changed something of a namespace, or made it stay."""
    return [call for call in read_trace(trace) if any(mark in call.text for mark in MARKS)]


async def look(place: Path) -> tuple[dict[str, int | None], set[str]]:
    """The namespaces that are served, with their quotas, and the durable consumers."""
    engine = namespace_workload.open_engine(place, asyncio.get_running_loop())
    try:
        found = {one.namespace: one.quota for one in await engine.namespaces()}
        return found, {one.name for one in await engine.consumers.describe()}
    finally:
        engine.close()


def after(steps: list[str]) -> dict[str, int | None]:
    """What is there after these steps."""
    found: dict[str, int | None] = {"app": None}
    for what, name in (step.split() for step in steps):
        if what == "delete":
            del found[name]
        else:
            found[name] = None if what == "make" else 10**6
    return found


def check(place: Path, said: list[str]) -> None:
    """What was answered last is so, or what was asked next; nothing is left of what isn't there."""
    done = [line.removeprefix("done ") for line in said if line.startswith("done ")]
    asked = [line.removeprefix("ask ") for line in said if line.startswith("ask ")]
    found, consumers = asyncio.run(look(place))
    assert found in (after(done), after(asked)), f"answered {done}, asked {asked[len(done) :]}, there is {found}"
    assert all(name.removeprefix("of-") in found for name in consumers)
    directories = {path.name for path in place.iterdir() if path.is_dir()}
    assert directories == set(found), "directories and namespaces differ"
    if "delete orders" in asked and "orders" not in found:
        assert b"hidden" not in b"".join(path.read_bytes() for path in place.rglob("*") if path.is_file())


def test_killed_at_each_call_of_their_management(tmp_path: Path, figure: Figure) -> None:
    place, trace = tmp_path / "data", tmp_path / "trace"
    status, said = run(place, trace)
    assert (status, said[-1]) == (0, "done delete other")
    check(place, said)
    calls = calls_in(trace)
    for call in calls:
        status, said = run(place, trace, "-e", f"inject={call.name}:signal=KILL:when={call.ordinal}")
        assert status == -signal.SIGKILL, f"not killed at {call}"
        check(place, said)
    figure("killed at each system call of the management of namespaces: calls", len(calls))


def test_each_answer_comes_after_a_sync_of_the_table(tmp_path: Path) -> None:
    """A kill leaves what was written in the page cache; only syncs survive a power cut."""
    trace = tmp_path / "trace"
    _, said = run(tmp_path / "data", trace, "-e", f"trace=write,{CHANGES}")
    steps: list[str] = []
    answers = 0
    for call in read_trace(trace):
        if call.name == "write" and '"done ' in call.text:
            assert steps == ["written", "synced", "renamed", "directory synced"], f"before {call.text}: {steps}"
            answers += 1
        elif "namespaces.new" in call.text and call.name in STEPS:
            steps = [*steps, STEPS[call.name]] if call.name != "pwrite64" else [STEPS[call.name]]
        elif call.name == "fsync" and "/data>" in call.text and steps[-1:] == ["renamed"]:
            steps.append("directory synced")
    assert answers == len(said) // 2 == 6


def test_the_control_for_that_what_is_not_kept_or_not_gone_is_noticed(tmp_path: Path) -> None:
    place = tmp_path / "data"
    _, said = run(place, tmp_path / "trace")
    with pytest.raises(AssertionError, match="there is"):
        check(place, [*said, "ask make lost", "done make lost"])
    (place / "other").mkdir()
    with pytest.raises(AssertionError, match="directories and namespaces differ"):
        check(place, said)
