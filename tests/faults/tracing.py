"""strace, which makes the system calls of a server fail, lie, take their time, or be its last."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import PATIENCE, ServerProcess

needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="uses strace, which isn't installed")

CHANGES = "pwrite64,ftruncate,fdatasync,fsync,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat"
"""The calls by which a log changes a disk, and those that make the change stay."""


@contextmanager
def tracing(server: ServerProcess, *options: str) -> Iterator[None]:
    """Attach strace to all threads of a running *server* with *options*, until the block ends.

    Each thread has its own count of its calls for a fault's ``when``.
    """
    command = ["strace", "-f", "-p", str(server.pid), *options]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert tracer.stderr is not None
    try:
        attached = tracer.stderr.readline()
        assert b"attached" in attached, f"strace: {attached!r}"
        yield
    finally:
        tracer.send_signal(signal.SIGTERM)
        tracer.communicate(timeout=PATIENCE)


def fault(calls: str, what: str, *, path: Path | None = None) -> list[str]:
    """The options that inject the fault *what* into *calls*, on the file *path* alone if one is given."""
    only = ["-P", str(path)] if path else []
    return ["-o", "/dev/null", *only, "-e", f"trace={calls}", "-e", f"inject={calls}:{what}"]


@dataclass(frozen=True, slots=True)
class Call:
    """One system call of a trace: its name, all that strace says, and the how-manieth of its name it is."""

    name: str
    text: str
    ordinal: int


_CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*)$")


def read_trace(path: Path) -> list[Call]:
    """The calls that strace wrote to *path*, of a process with one thread."""
    counts: dict[str, int] = {}
    calls = []
    for name, text in (found.groups() for line in path.read_text().splitlines() if (found := _CALL.match(line))):
        counts[name] = counts.get(name, 0) + 1
        calls.append(Call(name, text, counts[name]))
    return calls


def strace(output: Path, *options: str) -> Sequence[str]:
    """What to put before a command to trace it into *output*; ``-y`` names the files of descriptors.

    What Python compiles isn't kept: only the first of several runs would make those files and directories, and the
    calls of its trace would be counted otherwise than those of the next.
    """
    return ["strace", "-y", "-E", "PYTHONDONTWRITEBYTECODE=1", "-o", str(output), *options]
