"""``bus top`` in terminals of all sizes, and in a pipe."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.cli.stored import on_a_terminal
from tests.conftest import StartServer
from tests.server.support import publish
from tests.support import BUS, PATIENCE, ServerProcess, clean_environment, request, run_bus

LONG = "a-consumer-with-a-name-that-is-longer-than-a-column-may-be"


@pytest.fixture
def busy(server: ServerProcess) -> ServerProcess:
    """A server with an event, and two consumers that are behind."""
    publish(server, "app.a", 1)
    for name in ("billing", LONG):
        assert (
            request(server, "PUT", f"/v1/consumers/{name}", b'{"patterns": ["app.>"], "start": "oldest"}').status == 201
        )
    return server


def test_a_pipe_gets_a_line_of_json_for_each_look(busy: ServerProcess) -> None:
    found = run_bus("top", "--once", "--json", "--host", busy.url)
    assert (found.returncode, found.stderr) == (0, b"")
    (line,) = found.stdout.splitlines()
    counts = json.loads(line)
    assert counts["namespaces"]["app"]["published"] == 1
    assert counts["consumers"]["billing"]["why"] == "no connection"
    assert counts["server"]["streams"] == 1
    command = [*BUS, "top", "--interval", "100ms", "--host", busy.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=clean_environment()) as process:
        assert process.stdout
        assert all(json.loads(process.stdout.readline())["time"] for _ in range(3))
        process.stdout.close()
        assert process.wait(PATIENCE) == 0


def test_once_on_a_terminal(busy: ServerProcess) -> None:
    shown = on_a_terminal("top", "--once", "--host", busy.url)
    assert re.search(r"billing +1 .* no connection", shown)
    assert "takes events" in shown
    assert "streams" in shown.splitlines()[0]


@dataclass(slots=True)
class Screen:
    """``bus top`` on a terminal of so many columns and lines."""

    process: subprocess.Popen[bytes]
    terminal: int
    shown: str = ""

    def wait_for(self, text: str) -> None:
        while text not in self.shown:
            self.shown += os.read(self.terminal, 65536).decode("utf-8", "replace")

    def press(self, keys: bytes) -> int:
        """Press keys; returns the exit status."""
        os.write(self.terminal, keys)
        return self.leave()

    def leave(self) -> int:
        try:
            while True:
                self.shown += os.read(self.terminal, 65536).decode("utf-8", "replace")
        except OSError:
            return self.process.wait(PATIENCE)


@contextmanager
def top(server: ServerProcess, *, columns: int = 100, lines: int = 30) -> Iterator[Screen]:
    terminal, end = os.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    command = [*BUS, "top", "--interval", "100ms", "--host", server.url]
    environment = clean_environment(TERM="xterm")
    for size in ("COLUMNS", "LINES"):  # which come before what the terminal says
        environment.pop(size, None)
    with subprocess.Popen(
        command, stdin=end, stdout=end, stderr=end, env=environment, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(end, termios.TIOCSCTTY, 0),
    ) as process:  # fmt: skip
        os.close(end)
        try:
            yield Screen(process, terminal)
        finally:
            process.kill()
            os.close(terminal)


@pytest.mark.parametrize("keys", [b"q", b"\x04", b"xyQ", b"\x03"])
def test_rates_are_shown_until_a_key_ends_it(busy: ServerProcess, keys: bytes) -> None:
    with top(busy) as screen:
        screen.wait_for("published/s")
        screen.wait_for("billing")
        publish(busy, "app.a", 2)
        while not re.search(r"app +[1-9][\d.]* ", screen.shown):
            screen.wait_for("app")
            screen.shown += os.read(screen.terminal, 65536).decode("utf-8", "replace")
        assert screen.press(keys) == 0
        assert "Traceback" not in screen.shown


def test_a_narrow_terminal_has_what_matters_most(busy: ServerProcess) -> None:
    with top(busy, columns=40, lines=12) as screen:
        screen.wait_for("why")
        screen.wait_for("a-consumer")
        assert screen.press(b"q") == 0
        assert "in flight" not in screen.shown
        assert LONG not in screen.shown


def test_it_goes_on_over_a_restart(busy: ServerProcess) -> None:
    with top(busy) as screen:
        screen.wait_for("billing")
        busy.stop()
        busy.start()
        screen.shown = ""
        screen.wait_for("billing")
        assert screen.press(b"q") == 0


def test_a_signal_ends_it_and_leaves_the_terminal_as_it_was(busy: ServerProcess) -> None:
    with top(busy) as screen:
        before = termios.tcgetattr(screen.terminal)
        screen.wait_for("billing")
        screen.process.send_signal(signal.SIGINT)
        assert screen.leave() == 0
        assert before[3] & termios.ICANON


def test_what_is_wrong_is_said(start_server: StartServer) -> None:
    server = start_server()
    often = run_bus("top", "--once", "--interval", "1ms", "--host", server.url)
    assert often.returncode == 2 and b"is not from 100ms to 1m" in often.stderr
    gone = run_bus("top", "--once", "--host", "http://127.0.0.1:1")
    assert gone.returncode == 1 and b"can't reach" in gone.stderr
