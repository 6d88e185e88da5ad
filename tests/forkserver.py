"""Servers forked from a process that has imported Bus already: the same code in a process of its own, without the wait.

    a test's process ──request──▶ forkserver ──fork──▶ between ──fork──▶ bus server
           ▲                                            (ends)                │
           └───────────────────── adopts what is left by its parent ──────────┘

A process that lost its parent is adopted by the next one above that asked for it (prctl(2), PR_SET_CHILD_SUBREAPER), so
a test waits for its server as for any child, and hears how it ended. One forkserver serves one test process.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

_PR_SET_CHILD_SUBREAPER = 36
_REQUEST_BYTES = 128 * 1024
_IMPORTED = ("bus.cli.main", "bus.cli.server", "bus.server.run", "bus.engine.embedded.engine")
"""What a server needs and imports late."""


class ForkedProcess:
    """A process that a `Forkserver` forked; as much of `subprocess.Popen` as tests of servers need."""

    def __init__(self, pid: int, stderr: BinaryIO | None = None) -> None:
        self.pid = pid
        self.stderr = stderr
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit status, minus the number of the signal that ended it; None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Its exit status, once it has ended. Raises `subprocess.TimeoutExpired` after *timeout* seconds."""
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("bus server", timeout)
            time.sleep(0.002)
        return status

    def __repr__(self) -> str:
        return f"<ForkedProcess {self.pid}, {'running' if self.poll() is None else f'ended with {self.returncode}'}>"


class Forkserver:
    """Forks processes that run ``python -m MODULE`` for *module*, in process groups of their own."""

    def __init__(self, module: str) -> None:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-m", "tests.forkserver", module, str(theirs.fileno())]
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], process_group=0)

    def run(
        self, arguments: Sequence[str], env: Mapping[str, str], *, stdin: bytes, timeout: float
    ) -> subprocess.CompletedProcess[bytes]:
        """Run it to its end with *stdin*. Raises `subprocess.TimeoutExpired` after *timeout* seconds, and kills it."""
        with TemporaryFile() as given, TemporaryFile() as stdout, TemporaryFile() as stderr:
            given.write(stdin)
            given.seek(0)
            process = ForkedProcess(self._fork(arguments, env, [given.fileno(), stdout.fileno(), stderr.fileno()]))
            try:
                status = process.wait(timeout)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(timeout)
                raise
            stdout.seek(0)
            stderr.seek(0)
            return subprocess.CompletedProcess(list(arguments), status, stdout.read(), stderr.read())

    def start(self, arguments: Sequence[str], env: Mapping[str, str]) -> ForkedProcess:
        """One that goes on, with *arguments* on its command line and nothing but *env* in its environment."""
        reader, writer = os.pipe()
        with Path(os.devnull).open("r+b") as nothing, os.fdopen(writer, "wb") as stderr:
            pid = self._fork(arguments, env, [nothing.fileno(), nothing.fileno(), stderr.fileno()])
        return ForkedProcess(pid, os.fdopen(reader, "rb"))

    def _fork(self, arguments: Sequence[str], env: Mapping[str, str], streams: Sequence[int]) -> int:
        socket.send_fds(self._connection, [json.dumps([arguments, dict(env)]).encode()], streams)
        pid = int(self._connection.recv(32))
        self._connection.recv(32)
        return pid

    def __repr__(self) -> str:
        return f"<Forkserver {self._process.pid}>"


@cache
def forkserver(module: str) -> Forkserver:
    """The one of this process for *module*; it ends with this process, which closes the connection."""
    return Forkserver(module)


def _serve(connection: socket.socket) -> list[str]:
    """Fork for each request; returns in each process that was asked for, with its arguments."""
    while True:
        request, streams, _, _ = socket.recv_fds(connection, _REQUEST_BYTES, 3)
        if not request:
            os._exit(0)
        between = os.fork()
        if not between and not _fork_again(connection):
            return _become(request, streams, connection)
        for stream in streams:
            os.close(stream)
        os.waitpid(between, 0)
        connection.send(b"adopted")


def _fork_again(connection: socket.socket) -> int:
    """0 in a process whose parent has told its number and ended."""
    pid = os.fork()
    if pid:
        connection.send(str(pid).encode())
        os._exit(0)
    return pid


def _become(request: bytes, streams: Sequence[int], connection: socket.socket) -> list[str]:
    """Take on the environment of *request* and the standard *streams*; its arguments."""
    connection.close()
    arguments, env = json.loads(request)
    os.setpgid(0, 0)
    os.environ.clear()
    os.environ.update(env)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    return list(arguments)


def main(module: str, descriptor: int) -> int:
    """Import *module* and what servers need, and fork; the exit status of what was forked."""
    run = importlib.import_module(f"{module}.__main__").main
    for name in _IMPORTED:
        importlib.import_module(name)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv[1:] = _serve(socket.socket(fileno=descriptor))
    return int(run())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
