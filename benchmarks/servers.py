"""Starting and stopping what is measured."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

START_SECONDS = 60.0
STOP_SECONDS = 20.0


class PeerError(Exception):
    """A server can't be run here; says why in one line."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    port: int
    directory: Path
    process: psutil.Process
    started: float
    """Seconds from its start until it took a connection."""

    @property
    def megabytes(self) -> float:
        """Memory it holds, resident, in millions of bytes."""
        return round(float(self.process.memory_info().rss) / 1e6, 2)

    @property
    def cpu(self) -> float:
        """Processor seconds its threads have used, to the nanosecond (proc(5), schedstat)."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(map(_used, tasks)) / 1e9


def _used(task: Path) -> int:
    """Nanoseconds of a thread, 0 if it has just ended."""
    try:
        return int((task / "schedstat").read_text().split()[0])
    except OSError:
        return 0


def free_port() -> int:
    """A port nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def work_directory(parent: Path | None) -> Iterator[Path]:
    """An empty directory on the disk that is measured, removed afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="bus-bench-", dir=parent))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def serving(command: Sequence[str], port: int, directory: Path) -> Iterator[Server]:
    """Run *command* until the block ends. Raises `PeerError` if it doesn't come to listen on *port*."""
    log = directory / "server.log"
    began = time.perf_counter()
    try:
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=directory)
    except OSError as error:
        raise PeerError(f"could not run: {command[0]}: {error.strerror}") from None
    try:
        _await(process, port, log)
        yield Server(port, directory, psutil.Process(process.pid), time.perf_counter() - began)
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.005)
    last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["it printed nothing"]
    raise PeerError(f"could not run: {last[0]}")
