"""The order of system calls: nothing is answered 202 while a file or a name it stands on is not synced.

A power cut shows this too, if it falls into the right moment; here every answer is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bus.engine.embedded.subjects.file import SUBJECTS_FILE
from tests.conftest import StartServer
from tests.faults.conftest import Figure
from tests.faults.load import Number, encode_draft
from tests.faults.tracing import CHANGES, needs_strace, strace
from tests.support import request

pytestmark = [needs_strace, pytest.mark.timeout(120)]

_LINE = re.compile(r"^(?P<thread>\d+) +(?:<\.\.\. \w+ resumed>(?P<rest>.*)|(?P<name>\w+)\((?P<text>.*))$")
_RESULT = re.compile(r"= (-?\d+)[^=]*$")
_DESCRIPTOR = re.compile(r"^\d+<([^>]*)>")
_NAMES = re.compile(r'"([^"]*)"')


@dataclass(frozen=True, slots=True)
class Step:
    """A system call that began (``result`` is None) or ended."""

    name: str
    text: str
    result: int | None

    @property
    def file(self) -> str:
        """The file behind the descriptor it works on."""
        found = _DESCRIPTOR.match(self.text)
        return found[1] if found else ""

    @property
    def names(self) -> list[str]:
        """The paths it is given."""
        return _NAMES.findall(self.text)


def steps(trace: Path) -> Iterator[Step]:
    """The calls in a trace of many threads, each once when it began and once when it ended."""
    under_way: dict[str, tuple[str, str]] = {}
    for line in filter(None, map(_LINE.match, trace.read_text().splitlines())):
        if line["name"]:
            under_way[line["thread"]] = line["name"], line["text"]
            yield Step(line["name"], line["text"], None)
        result = _RESULT.search(line["rest"] or line["text"] or "")
        if result and "<unfinished" not in line[0]:
            yield Step(*under_way.pop(line["thread"]), int(result[1]))


@dataclass(slots=True)
class Watch:
    """What is not synced at each moment, below one directory; and what was done too early."""

    directory: str
    unsynced: set[str] = field(default_factory=set)
    answers: int = 0
    wrong: list[str] = field(default_factory=list)

    def see(self, step: Step) -> None:
        """What is derived from the log is no part of what an answer stands for."""
        if SUBJECTS_FILE in step.text:
            return
        if step.result is None:
            self._begins(step)
        elif step.result >= 0:
            self._ends(step)

    def _begins(self, step: Step) -> None:
        match step.name:
            case "write" | "writev" | "sendto" | "sendmsg" if "HTTP/1.1 202" in step.text:
                self.answers += 1
                self._expect_synced("answered 202", self.unsynced)
            case "pwrite64" | "ftruncate":
                self._change(step.file)
            case "rename":
                described = str(Path(step.names[1]).with_suffix(".log"))
                self._expect_synced("renamed", self.unsynced & {step.names[0], described})

    def _ends(self, step: Step) -> None:
        match step.name:
            case "fdatasync" | "fsync":
                self.unsynced.discard(step.file)
            case "openat" if "O_CREAT" in step.text:
                self._change(str(Path(step.names[0]).parent))
            case "rename" | "unlink" | "mkdir":
                self._change(str(Path(step.names[0]).parent))
                self.unsynced -= {step.names[0]}

    def _change(self, path: str) -> None:
        if path.startswith(self.directory):
            self.unsynced.add(path)

    def _expect_synced(self, what: str, unsynced: set[str]) -> None:
        if unsynced:
            self.wrong.append(f"{what} before {sorted(unsynced)} was synced")


def watch(start_server: StartServer, tmp_path: Path, fsync: str) -> Watch:
    """Have a server answer some publishers one after the other, rolling segments."""
    trace = tmp_path / "trace"
    calls = f"trace=openat,write,writev,sendto,sendmsg,{CHANGES}"
    wrapper = strace(trace, "-f", "--seccomp-bpf", "-qq", "-s", "200", "-e", calls)
    server = start_server(wrapper=wrapper, flags=["--segment-size", "2KiB", "--fsync", fsync])
    for number in range(30):
        draft = encode_draft(Number(number, number, "x" * 100))
        assert request(server, "POST", "/", draft).status == 202
    server.stop()
    watched = Watch(str(server.path / "app"))
    for step in steps(trace):
        watched.see(step)
    assert watched.answers == 30
    return watched


def test_nothing_is_answered_before_it_is_synced(start_server: StartServer, tmp_path: Path, figure: Figure) -> None:
    watched = watch(start_server, tmp_path, "always")
    assert watched.wrong == []
    figure("answers 202 looked at / given before file and name were synced", f"{watched.answers} / 0")


def test_the_control_for_that_answers_before_it_syncs(start_server: StartServer, tmp_path: Path) -> None:
    assert watch(start_server, tmp_path, "never").wrong
