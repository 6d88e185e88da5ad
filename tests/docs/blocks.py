"""The code blocks of a page, and running them in order as its reader would.

    ```bash, ```python          run in one directory, with one server for the page
    ```javascript               run by tests/third_party, in a browser or after <!-- node --> in Node.js
    ```pycon                    tried line by line, as doctest does
    ```json                     has the names and types of what a server sends
    ```text                     what the block before it prints; … stands for anything
    <!-- background -->         the next block doesn't end by itself: it runs until the page is through
    <!-- not run: reason -->    no test can run the next block

``localhost:2021`` is the page's server, wherever that listens. 2443 and 2444 are ports of servers that the page starts.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import dedent
from types import MappingProxyType

from tests.support import PATIENCE, ServerProcess, clean_environment

ROOT = Path(__file__).parents[2]
RUNNABLE = ("bash", "python")

# A block of a list is indented.
_BLOCK = re.compile(
    r"(?:^ *<!-- (?P<marker>.*?) -->\n+)?^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$",
    re.M | re.S,
)

# The port in the pages may be taken, so a server that a page starts listens on a free one.
_LISTENING = re.compile(r"(?P<flag>--addr )(?:127\.0\.0\.1)?:2021\b")

_PAGES_OWN = re.compile(r"\b244[34]\b")


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a page, with what it is expected to print."""

    page: str
    line: int
    language: str
    text: str
    marker: str = ""
    prints: str = ""

    @property
    def background(self) -> bool:
        return self.marker == "background"

    @property
    def not_run(self) -> str:
        """Why it isn't run, empty if it is."""
        return self.marker.removeprefix("not run: ") if self.marker.startswith("not run: ") else ""

    def on(self, server: ServerProcess, *, free: Mapping[str, str] = MappingProxyType({})) -> Block:
        """The block as it is for a reader whose server is *server*, and who has *free* ports for those of the page."""
        return replace(self, text=_for_reader(self.text, server, free), prints=_for_reader(self.prints, server, free))

    def is_printed(self, output: str) -> bool:
        """Whether *output* holds what the page shows."""
        pattern = ".*?".join(map(re.escape, self.prints.strip().split("…")))
        return re.search(pattern, output.replace("\r\n", "\n"), re.DOTALL) is not None

    @property
    def command(self) -> Sequence[str]:
        if self.language == "python":
            return [sys.executable, "-W", "error", "-c", self.text]
        return ["bash", "-euo", "pipefail", "-c", self.text]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(path: Path, *, languages: Sequence[str] | None = RUNNABLE) -> list[Block]:
    """The blocks of a page, in some languages or all; its ``text`` blocks are what the ones before them print."""
    page, text = str(path.relative_to(ROOT)), path.read_text()
    blocks: list[Block] = []
    for found in _BLOCK.finditer(text):
        shown = dedent(found["text"])
        if found["language"] == "text":
            blocks[-1] = replace(blocks[-1], prints=shown)
        else:
            line = text.count("\n", 0, found.start("text"))
            blocks.append(Block(page, line, found["language"], shown, found["marker"] or ""))
    return [block for block in blocks if languages is None or block.language in languages]


def run_blocks(blocks: Sequence[Block], server: ServerProcess, directory: Path) -> None:
    """Run *blocks* in order in *directory*; fails at the first that fails or prints something else."""
    environment = clean_environment(
        BUS_HOST=server.url, PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    with ExitStack() as background:
        free = _free_ports("2443", "2444")
        for block in (block.on(server, free=free) for block in blocks if not block.not_run):
            if block.background:
                background.enter_context(_running(block, environment, directory))
            else:
                _run(block, environment, directory)


def _for_reader(text: str, server: ServerProcess, free: Mapping[str, str]) -> str:
    text = _LISTENING.sub(r"\g<flag>127.0.0.1:0", text).replace("localhost:2021", f"127.0.0.1:{server.port}")
    return _PAGES_OWN.sub(lambda port: free[port[0]], text)


def _free_ports(*names: str) -> dict[str, str]:
    """A port nobody uses for each of *names*."""
    with ExitStack() as stack:
        found = [stack.enter_context(socket.create_server(("", 0))) for _ in names]
        return {name: str(free.getsockname()[1]) for name, free in zip(names, found, strict=True)}


def _run(block: Block, environment: dict[str, str], directory: Path) -> None:
    done = subprocess.run(
        block.command,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, f"{block} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    assert block.is_printed(done.stdout), f"{block} printed something else than the page says:\n{done.stdout}"


@contextmanager
def _running(block: Block, environment: dict[str, str], directory: Path) -> Iterator[None]:
    """Run *block* meanwhile, having waited for what it is expected to print."""
    with subprocess.Popen(
        block.command,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    ) as process:
        try:
            _wait_for_output(process, block)
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def _wait_for_output(process: subprocess.Popen[str], block: Block) -> None:
    assert process.stdout is not None
    output = ""
    while not block.is_printed(output):
        line = process.stdout.readline()
        assert line, f"{block} ended without printing what the page says:\n{output}"
        output += line
