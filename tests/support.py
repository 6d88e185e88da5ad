"""What tests of the whole thing stand on: a real server in its own process, and plain sockets to talk to it."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlencode

from bus.sse import EventReader, ServerSentEvent
from bus.wire import SSE
from tests.authority import Authority
from tests.forkserver import ForkedProcess, forkserver

PATIENCE = 20.0
"""Seconds after which a test that waits for something gives up; no test's outcome depends on it otherwise."""

BUS = [sys.executable, "-m", "bus"]
LATE = [sys.executable, "-m", "tests.late"]
"""The same with an engine that answers everything later."""

_TLS: dict[int, ssl.SSLContext] = {}
"""How servers are spoken to that take TLS, by their ports."""


def clean_environment(**extra: str) -> dict[str, str]:
    """The environment of this process without any setting of Bus, and *extra*."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BUS_")}
    return {**inherited, "PYTHONUNBUFFERED": "1", **extra}


def run_bus(
    *args: str | Path,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = PATIENCE,
) -> subprocess.CompletedProcess[bytes]:
    """Run ``bus`` with *args* to its end, in its own process."""
    arguments = [*map(str, args)]
    environment = clean_environment(**(env or {}))
    if _is_inherited(env or {}):
        return forkserver("bus").run(arguments, environment, stdin=stdin or b"", timeout=timeout)
    return subprocess.run([*BUS, *arguments], input=stdin, env=environment, capture_output=True, timeout=timeout)


class Listening(Protocol):
    """What takes HTTP on a port of 127.0.0.1: a server, or a proxy in front of one."""

    @property
    def port(self) -> int: ...


def freeze(pid: int) -> None:
    """Stop a child by SIGSTOP; returns when none of its threads runs any more, which may take a moment."""
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED)


class ServerProcess:
    """``bus server`` in its own process on 127.0.0.1, up when the constructor returns.

    Give it *flags* as on the command line and *env* on top of an environment without ``BUS_*``. *wrapper*
    is put before the command (``["strace", …]``), which *bus* is. Port 0 takes a free port; `restart` keeps it.
    With an *authority* it speaks TLS, and so do `connect` and all that stands on it.
    """

    def __init__(
        self,
        path: Path,
        *,
        namespaces: Sequence[str] = ("app", "orders", "github"),
        flags: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        wrapper: Sequence[str] = (),
        bus: Sequence[str] = BUS,
        port: int = 0,
        authority: Authority | None = None,
    ) -> None:
        self.path = path
        self.port = port
        self._authority = authority
        tls = authority.server.flags if authority else []
        self._options = ["--path", str(path), "--namespaces", ",".join(namespaces), *tls, *flags]
        self._env = dict(env or {})
        self._command = [*wrapper, *bus]
        self.start()

    @property
    def url(self) -> str:
        return f"{'https' if self._authority else 'http'}://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        """What the server has written to standard error since it was last started."""
        return self._log.text

    def start(self) -> None:
        """Start it and wait until it accepts connections. Raises `AssertionError` if it ends instead."""
        self.process = _start(self._command, ["server", "--addr", f"127.0.0.1:{self.port}", *self._options], self._env)
        self._log = _Log(self.process)
        try:
            line = self._log.wait_for("listening on http")
        except AssertionError:
            self.kill()
            raise
        self.port = int(line.partition("listening on http")[2].split()[0].rpartition(":")[2])
        if self._authority:
            _TLS[self.port] = self._authority.client_context()

    def wait_for_log(self, text: str) -> str:
        """The first line of the log that holds *text*, once there is one."""
        return self._log.wait_for(text)

    def kill(self) -> None:
        """End it by SIGKILL, as a crash does."""
        self.signal(signal.SIGKILL)
        self._ended()

    def stop(self) -> int:
        """End it by SIGTERM and return its exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Wait until it ends, and return its exit status."""
        return self._ended()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def freeze(self) -> None:
        """Have it do nothing until it is sent SIGCONT."""
        freeze(self.process.pid)

    def restart(self) -> None:
        """Start it again, after a crash unless it has ended, on the same directory and port."""
        if self.process.poll() is None:
            self.kill()
        self.start()

    def close(self) -> None:
        """End it if it still runs."""
        _TLS.pop(self.port, None)
        if self.process.poll() is None:
            self.kill()
        self._log.close()

    def _ended(self) -> int:
        status = self.process.wait(PATIENCE)
        self._log.close()
        return status

    def __repr__(self) -> str:
        state = "running" if self.process.poll() is None else f"ended with {self.process.returncode}"
        return f"<ServerProcess {self.url} on {self.path}, {state}>"


def _start(command: list[str], arguments: list[str], env: Mapping[str, str]) -> subprocess.Popen[bytes] | ForkedProcess:
    """A process of *command*: forked where that is the same, and in a group of its own, for signals reach all of it."""
    environment = clean_environment(**env)
    if command in (BUS, LATE) and _is_inherited(env):
        return forkserver(command[-1]).start(arguments, environment)
    return subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        process_group=0,
    )


def _is_inherited(env: Mapping[str, str]) -> bool:
    """Whether *env* has nothing for Python itself or a library, which read it before a fork."""
    return all(name.startswith("BUS_") for name in env)


class _Log:
    """The lines of a process's standard error, read as they come so that it never blocks on writing them."""

    def __init__(self, process: subprocess.Popen[bytes] | ForkedProcess) -> None:
        assert process.stderr is not None
        self._stream = process.stderr
        self._lines: list[str] = []
        self._ended = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        return "".join(self._lines)

    def wait_for(self, text: str) -> str:
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._find(text), PATIENCE)
            found = self._find(text)
        assert found, f"the log has no line with {text!r}:\n{self.text}"
        return found

    def close(self) -> None:
        self._reader.join(PATIENCE)
        self._stream.close()

    def _find(self, text: str) -> str:
        return next((line for line in self._lines if text in line), "")

    def _read(self) -> None:
        for line in self._stream:
            with self._changed:
                self._lines.append(line.decode(errors="replace"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


@contextmanager
def connect(port: int, *, timeout: float = PATIENCE, tls: ssl.SSLContext | None = None) -> Iterator[socket.socket]:
    """A connection to the server whose every operation gives up after *timeout* seconds.

    It is encrypted by *tls*, or as the server wants it. One that ends without a goodbye raises `ssl.SSLEOFError`.
    """
    tls = tls or _TLS.get(port)
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not tls:
            yield connection
            return
        with tls.wrap_socket(connection, server_hostname="127.0.0.1", suppress_ragged_eofs=False) as secure:
            yield secure


def raw(port: int, data: bytes, *, timeout: float = PATIENCE) -> bytes:
    """Send *data* as it stands and return everything the server sends until it closes the connection.

    Raises `AssertionError` with what came so far if the server hasn't closed after *timeout* seconds.
    """
    deadline = time.monotonic() + timeout
    received = b""
    with connect(port, timeout=timeout) as connection:
        try:
            connection.sendall(data)
            while chunk := connection.recv(65536):
                received += chunk
                connection.settimeout(max(deadline - time.monotonic(), 0.001))
        except TimeoutError:
            raise AssertionError(f"the server left the connection open, having sent {received!r}") from None
        except (ConnectionResetError, BrokenPipeError):
            # A server that refuses a request may close before it has read all of it.
            pass
    return received


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer; header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def request(
    server: Listening,
    method: str,
    target: str = "/",
    body: bytes | Iterator[bytes] | None = None,
    *,
    timeout: float = PATIENCE,
    **headers: str,
) -> Answer:
    """One HTTP request on a connection of its own; ``Content_Type=`` stands for ``Content-Type:``."""
    connection = _http_connection(server.port, timeout)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, target, body, named, encode_chunked=body is not None and not isinstance(body, bytes))
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def _http_connection(port: int, timeout: float) -> http.client.HTTPConnection:
    if tls := _TLS.get(port):
        return http.client.HTTPSConnection("127.0.0.1", port, timeout=timeout, context=tls)
    return http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)


@dataclass(slots=True)
class Stream:
    """A subscription read straight from its socket.

    ``broken`` says that it ended by a reset, which is how a stream breaks off that has no chunks.
    """

    connection: socket.socket
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    broken: bool = False
    _reader: EventReader = field(default_factory=EventReader)
    _waiting: list[ServerSentEvent] = field(default_factory=list)

    def next(self) -> ServerSentEvent:
        """The next event of any kind. Raises `EOFError` when the server has closed the stream."""
        while not self._waiting:
            data = self._receive()
            if not data:
                raise EOFError("the stream has ended")
            self._waiting += self._reader.feed(data)
        return self._waiting.pop(0)

    def take(self, count: int, kind: str = "msg") -> list[ServerSentEvent]:
        """The next *count* events of one *kind*; others are passed over."""
        taken: list[ServerSentEvent] = []
        while len(taken) < count:
            event = self.next()
            if event.kind == kind:
                taken.append(event)
        return taken

    def rest(self) -> list[ServerSentEvent]:
        """Every event until the server closes the stream."""
        events = []
        try:
            while True:
                events.append(self.next())
        except EOFError:
            return events

    def _receive(self) -> bytes:
        try:
            return self.connection.recv(65536)
        except ConnectionResetError:
            self.broken = True
            return b""

    def _read_head(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            data = self.connection.recv(65536)
            assert data, f"the server closed the connection after {head!r}"
            head += data
        head, _, body = head.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self._waiting += self._reader.feed(body)


@contextmanager
def subscribe(
    server: Listening, subject: str, *, timeout: float = PATIENCE, last_event_id: str = "", **parameters: object
) -> Iterator[Stream]:
    """``GET /?subject=…`` with *parameters*, its header block read; closed on leaving."""
    query = urlencode({"subject": subject, **{name: str(value) for name, value in parameters.items()}})
    resume = f"Last-Event-ID: {last_event_id}\r\n" if last_event_id else ""
    with connect(server.port, timeout=timeout) as connection:
        accept = f"Accept: {SSE}\r\n"
        connection.sendall(f"GET /?{query} HTTP/1.1\r\nHost: bus\r\nConnection: close\r\n{accept}{resume}\r\n".encode())
        stream = Stream(connection)
        stream._read_head()
        yield stream
