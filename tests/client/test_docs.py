"""Every program in docs/sdk.md runs, against a real server, and prints what the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import StartServer
from tests.support import PATIENCE, clean_environment

PAGE = (Path(__file__).parents[2] / "docs" / "sdk.md").read_text()
PROGRAM = re.compile(r"(<!-- background -->\n)?```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Program:
    """One block of code, its expected output, and whether it runs on beside the others."""

    source: str
    output: str
    background: bool


def programs() -> list[Program]:
    return [Program(source, output or "", bool(mark)) for mark, source, output in PROGRAM.findall(PAGE)]


def start(program: Program, url: str) -> subprocess.Popen[str]:
    source = program.source.replace("http://localhost:2021", url)
    command = [sys.executable, "-W", "error", "-c", source]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment()
    )  # fmt: skip


def test_every_program_prints_what_the_page_says(start_server: StartServer) -> None:
    server = start_server(namespaces=("app",))
    running = []
    try:
        for program in programs():
            process = start(program, server.url)
            if program.background:
                running.append(process)
                continue
            output, errors = process.communicate(timeout=PATIENCE)
            assert (output, errors, process.returncode) == (program.output, "", 0), program.source
        for process in running:
            assert process.poll() is None, process.communicate()[1]
    finally:
        for process in running:
            process.terminate()
            process.communicate(timeout=PATIENCE)


def test_the_page_has_programs() -> None:
    assert len(programs()) > 8
    assert sum(program.background for program in programs()) == 3
