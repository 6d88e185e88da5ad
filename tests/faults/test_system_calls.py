"""Killed at each of its system calls in turn, a log keeps what it promised and has no hole.

The first run is traced and unharmed; it tells which calls there are to be killed at.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from bus.storage import Log, verify
from tests.faults import workload
from tests.faults.conftest import Figure
from tests.faults.tracing import CHANGES, Call, needs_strace, read_trace, strace

pytestmark = [needs_strace, pytest.mark.timeout(900)]

TRACED = f"trace=openat,{CHANGES}"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the workload: how it ended, and what it promised last."""

    status: int
    output: str

    def first(self, before: int = 1) -> int:
        """The first event that must still be there, when *before* it was the event given."""
        return self._last("dropping", before)

    def kept(self, before: int = 0) -> int:
        """The last durable event, likewise."""
        return self._last("kept", before)

    def has_said(self, word: str) -> bool:
        """Whether it got as far as this."""
        return word in self.output.split()

    def _last(self, word: str, otherwise: int) -> int:
        said = [int(line.split()[1]) for line in self.output.splitlines() if line.startswith(word)]
        return said[-1] if said else otherwise


@dataclass(frozen=True, slots=True)
class Patient:
    """A log that the workload runs on, from the same state each time.

    Parameters:
        place: where it is.
        secret: what it is encrypted with; empty if it is plain.
        state: the log to start from; None for none.
        first, kept: the first and last event that it must have.
    """

    place: Path
    secret: str = ""
    state: Path | None = None
    first: int = 1
    kept: int = 0

    def run(self, *options: str) -> Run:
        """Run the workload under strace with *options*."""
        shutil.rmtree(self.place, ignore_errors=True)
        if self.state:
            shutil.copytree(self.state, self.place)
        command = [*strace(self._trace, "-e", TRACED, *options), sys.executable, workload.__file__]
        ended = subprocess.run([*command, str(self.place), self.secret], capture_output=True, text=True, timeout=60)
        return Run(ended.returncode, ended.stdout)

    def calls(self) -> Sequence[Call]:
        """The calls of the last run that changed something in the log, or made it stay."""
        calls = [call for call in read_trace(self._trace) if str(self.place) in call.text]
        return [call for call in calls if "O_CREAT" in call.text or call.name != "openat"]

    def check(self, run: Run) -> None:
        """The log opens, has what *run* promised, no hole and no damage; and so again when it was used."""
        first, kept = run.first(self.first), run.kept(self.kept)
        for _ in range(2):
            with workload.open_log(self.place, self.secret) as log:
                assert log.damage == ()
                assert log.first <= first, f"begins late: {log!r}, promised {run}"
                assert log.next > kept, f"ends early: {log!r}, promised {run}"
                check_frames(log, run)
                workload.append(log, 2)
                kept = log.next - 1
        checked = list(verify(self.place, cipher=workload.cipher_of(self.secret)))
        assert not any(segment.damage for segment in checked)

    @property
    def _trace(self) -> Path:
        return self.place.with_suffix(".trace")


def check_frames(log: Log, run: Run) -> None:
    """Every frame is its event's; of those that are doomed, once deletion has begun, it may be empty, and then is."""
    for index, frame in enumerate(frames(log), log.first):
        if frame != workload.frame_of(index):
            assert workload.is_doomed(index) and frame == b"" and run.has_said("deleting"), f"event {index}: {frame!r}"
        else:
            assert not (workload.is_doomed(index) and run.has_said("deleted")), f"event {index} is back"


def frames(log: Log) -> list[bytes]:
    """Every frame of a log."""
    found: list[bytes] = []
    while batches := log.read(log.first + len(found)):
        found += [batch.frame(index) for batch in batches for index in range(batch.first, batch.next)]
    return found


def kill_at_each_call(patient: Patient) -> int:
    """Run to each call and no further, checking what is left; returns how many calls there were."""
    unharmed = patient.run()
    assert unharmed.status == 0
    calls = patient.calls()
    for call in calls:
        killed = patient.run("-e", f"inject={call.name}:signal=KILL:when={call.ordinal}")
        assert killed.status == -signal.SIGKILL, f"not killed at {call}"
        patient.check(killed)
    beyond = calls[-1]
    assert patient.run("-e", f"inject={beyond.name}:signal=KILL:when={beyond.ordinal + 1}").status == 0
    patient.check(unharmed)
    return len(calls)


@pytest.mark.parametrize("secret", ["", "a secret"], ids=["plain", "encrypted"])
def test_killed_at_each_call_of_its_life(tmp_path: Path, figure: Figure, secret: str) -> None:
    kills = kill_at_each_call(Patient(tmp_path / "log", secret))
    figure(f"killed at each system call of a log's life, {'encrypted' if secret else 'plain'}: calls", kills)


def test_killed_at_each_call_of_a_recovery(tmp_path: Path, figure: Figure) -> None:
    """The log to recover has a torn tail before its zeros, segments without sidecars, and what is left of a rename and
    of a creation.
    """
    first = Patient(tmp_path / "state")
    run = first.run()
    for sidecar in first.place.glob("*.idx"):
        sidecar.rename(sidecar.with_suffix(".idx.tmp"))
    last = max(first.place.glob("*.log"))
    batches = last.read_bytes().rstrip(b"\0")
    last.write_bytes(batches + batches[-50:] + bytes(200))
    (first.place / f"{run.kept() + 9:020}.log").write_bytes(b"bus.log\n")
    kills = kill_at_each_call(Patient(tmp_path / "log", state=first.place, first=run.first(), kept=run.kept()))
    figure("killed at each system call of a recovery: calls", kills)


def test_the_control_for_that_a_log_that_loses_its_tail_is_noticed(tmp_path: Path) -> None:
    patient = Patient(tmp_path / "log")
    run = patient.run()
    last = max(patient.place.glob("*.log"))
    last.write_bytes(last.read_bytes().rstrip(b"\0")[:-1])
    with pytest.raises(AssertionError, match="ends early"):
        patient.check(run)
