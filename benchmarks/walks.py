"""How long the ways through Bus are: ``python -m benchmarks.walks``, with ``--calls`` to see each step.

    functions   distinct functions of Bus that are called
    files       distinct files they stand in
    returns     calls that lead back into a file that was left before

A short way is one that a reader can follow. Each is walked before it is recorded, so that imports, caches and what
the server learns of its disk don't count; then every call is, in this process, on the loop's thread and on those that
it starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import bus
from bus.cli.main import run as run_command
from bus.config import Settings
from bus.server.run import serve

SOURCES = f"{Path(bus.__file__).parent}/"
WALKED_BEFORE = 32
"""Walks until the server is as it is when it has run for a while."""

EVENT = b'{"subject":"app.users.created","payload":{"name":"Alice"}}'
_LISTENING = re.compile(r"^listening on http://127\.0\.0\.1:(\d+) ")


@dataclass(slots=True)
class Walk:
    """The calls of one way, in their order: each a file and the qualified name of a function in it."""

    calls: list[tuple[str, str]] = field(default_factory=list)

    @property
    def functions(self) -> int:
        return len(set(self.calls))

    @property
    def files(self) -> int:
        return len({file for file, _ in self.calls})

    @property
    def returns(self) -> int:
        """Calls into a file that was called into before, with another in between."""
        seen: set[str] = set()
        last, count = "", 0
        for file, _ in self.calls:
            count += file != last and file in seen
            seen.add(file)
            last = file
        return count


class Recorder:
    """Notes the calls into Bus while a block runs, on every thread that is started after it was made."""

    def __init__(self) -> None:
        self._walk: Walk | None = None
        threading.setprofile(self._note)
        sys.setprofile(self._note)

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if self._walk is None or event != "call" or not code.co_filename.startswith(SOURCES):
            return
        if not code.co_name.startswith("<"):  # a comprehension or a module is no function
            self._walk.calls.append((code.co_filename.removeprefix(SOURCES), code.co_qualname))

    def begin(self) -> Walk:
        self._walk = Walk()
        return self._walk

    def end(self) -> None:
        self._walk = None

    @contextlib.contextmanager
    def recording(self) -> Iterator[Walk]:
        walk = self.begin()
        yield walk
        self.end()


# -- through a server


Visit = Callable[[int], Awaitable[None]]
"""What is done, on the server's own loop, with the server on a port."""


class _Visitor(logging.Handler):
    """Waits for the line that says where the server listens, goes there, and has it stop."""

    def __init__(self, visit: Visit) -> None:
        super().__init__()
        self._visit = visit
        self.visiting: asyncio.Task[None] | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if found := _LISTENING.match(record.getMessage()):
            self.visiting = asyncio.get_running_loop().create_task(self._go(int(found[1])))

    async def _go(self, port: int) -> None:
        try:
            await self._visit(port)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)


def visit_server(path: Path, visit: Visit) -> None:
    """Serve the directory *path* in this process until *visit* is done. Raises what that raised."""
    visitor, root = _Visitor(visit), logging.getLogger()
    root.addHandler(visitor)
    root.setLevel(logging.INFO)
    try:
        serve(Settings.read({"path": str(path), "namespaces": "app", "addr": "127.0.0.1:0"}, {}), version="walks")
    finally:
        root.removeHandler(visitor)
    assert visitor.visiting is not None, "the server didn't start"
    visitor.visiting.result()


class _Connection:
    """One connection to the server under observation."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> _Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def send(self, method: str, target: str, body: bytes = b"") -> None:
        head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)

    async def until(self, mark: bytes) -> bytes:
        return await self._reader.readuntil(mark)

    async def event(self) -> bytes:
        """The id of the next event of the stream."""
        while not (found := re.search(rb"^id: (.+)$", await self.until(b"\n\n"), re.MULTILINE)):
            pass
        return found[1]


async def _walk_publish(recorder: Recorder, port: int) -> Walk:
    """From the first byte of a POST to its answer, and to the event on a socket that waits for it."""
    reader, sender = await _Connection.open(port), await _Connection.open(port)
    reader.send("GET", "/?subject=app.users.*")
    await reader.until(b"event: open\n")
    for _ in range(WALKED_BEFORE + 1):
        with recorder.recording() as walk:
            sender.send("POST", "/", EVENT)
            await asyncio.gather(sender.until(b"\r\n\r\n"), reader.event())
    return walk


async def _walk_ack(recorder: Recorder, port: int) -> Walk:
    """From the first byte of an acknowledgement to its answer, and to the next event of the consumer."""
    reader, sender = await _Connection.open(port), await _Connection.open(port)
    for _ in range(4):
        sender.send("POST", "/", EVENT)
        await sender.until(b"\r\n\r\n")
    reader.send("GET", "/?subject=app.users.*&start=oldest&ack=manual&consumer=walk")
    await reader.until(b"\r\n\r\n")
    opened = re.search(rb'"consumer_id":"([^"]+)"', await reader.until(b"\n\n"))
    assert opened is not None, "the server doesn't say how to acknowledge"
    event = await reader.event()
    for _ in range(3):
        with recorder.recording() as walk:
            sender.send("PUT", f"/?consumer_id={opened[1].decode()}&event_id={event.decode()}")
            _, event = await asyncio.gather(sender.until(b"\r\n\r\n"), reader.event())
    return walk


def walk_server(recorder: Recorder, path: Path) -> dict[str, Walk]:
    """The ways of an event through a server that is up."""
    walks: dict[str, Walk] = {}

    async def visit(port: int) -> None:
        walks["publish to a live socket"] = await _walk_publish(recorder, port)
        walks["ack and next delivery"] = await _walk_ack(recorder, port)

    visit_server(path, visit)
    return walks


def walk_start(recorder: Recorder, path: Path) -> Walk:
    """From the settings as they were given to the port that listens."""

    async def visit(_: int) -> None:
        recorder.end()

    walk = recorder.begin()
    visit_server(path, visit)
    return walk


# -- through a command


def walk_dump(recorder: Recorder, path: Path) -> Walk:
    """The whole of ``bus dump`` of a directory."""
    for _ in range(2):
        with recorder.recording() as walk:
            run_command(["dump", "--path", str(path), "--output", f"{path}.ndjson"])
    return walk


def main(args: Sequence[str]) -> None:
    recorder = Recorder()
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "data"
        walks = walk_server(recorder, path)
        walks["start-up"] = walk_start(recorder, path)
        walks["dump"] = walk_dump(recorder, path)
    for name, walk in walks.items():
        print(f"{name:<26}{walk.functions:>4} functions {walk.files:>3} files {walk.returns:>3} returns")
        if "--calls" in args:
            for file, function in walk.calls:
                print(f"    {file}  {function}")


if __name__ == "__main__":
    main(sys.argv[1:])
