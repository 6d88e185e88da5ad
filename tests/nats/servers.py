"""Real nats-servers on 127.0.0.1: one, or a cluster of them, each of which can be killed, frozen and started again."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import PATIENCE, clean_environment, freeze

PROGRAM = Path(os.environ.get("NATS_SERVER") or Path(sys.executable).with_name("nats-server"))
"""What is started; ``NATS_SERVER=…`` runs the tests with another version."""
START_SECONDS = 60.0
"""A cluster elects its leaders first, which takes up to 8 s on a machine with nothing else to do."""


@dataclass(frozen=True, slots=True)
class Host:
    """Where a node runs: its *address*, and what is put before a command for it to run there."""

    address: str = "127.0.0.1"
    enter: Sequence[str] = ()


class Node:
    """One nats-server, with its ports, its store and its log in *directory*, which outlive `kill` and `stop`."""

    def __init__(
        self, name: str, directory: Path, host: Host, ports: Sequence[int], *, program: Path, store: Path
    ) -> None:
        self.name = name
        self.host = host
        self.directory = directory
        self.store = store
        self.port, self.route_port, self.monitor_port = ports
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def address(self) -> str:
        return f"{self.host.address}:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    def configure(self, text: str) -> None:
        """What it is started with."""
        (self.directory / "nats.conf").write_text(text)

    def start(self, *, program: Path | None = None) -> None:
        """Start it, from now on by *program* if that is given; it may not answer yet."""
        assert not self.running
        self._program = program or self._program
        command = [*self.host.enter, str(self._program), "--config", str(self.directory / "nats.conf")]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=clean_environment(), process_group=0)

    def kill(self) -> None:
        """End it by SIGKILL, as a crash does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it by SIGTERM."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """Have it do nothing, its connections open, until `thaw`."""
        if self.running:
            freeze(self.pid)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def restart(self) -> None:
        """Start it again, after a crash unless it has ended, and wait until it is healthy."""
        self.kill()
        self.start()
        self.wait_healthy()

    def wait_healthy(self, seconds: float = START_SECONDS) -> None:
        """Return when it takes part, JetStream and all."""
        deadline = time.monotonic() + seconds
        while not self.healthy():
            assert self.running, f"{self.name} ended:\n{self.log[-2000:]}"
            assert time.monotonic() < deadline, f"{self.name} isn't healthy:\n{self.log[-2000:]}"
            time.sleep(0.02)

    def healthy(self) -> bool:
        """Whether it says so itself."""
        try:
            return self._get("/healthz")[0] == 200
        except OSError:
            return False

    def monitor(self, path: str) -> Any:
        """What its monitoring answers, as in ``monitor("/jsz?config=1")``."""
        return json.loads(self._get(path)[1])

    def _get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.host.address, self.monitor_port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()

    def _signal(self, number: signal.Signals) -> None:
        if self.running:
            assert self._process is not None
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._signal(number)
            self._signal(signal.SIGCONT)
            self._process.wait(PATIENCE)

    def __repr__(self) -> str:
        return f"<Node {self.name} at {self.address}, {'running' if self.running else 'down'}>"


class Servers:
    """*count* nats-servers with JetStream below *directory*, healthy when the constructor returns.

    *settings* are further lines of each one's configuration, *limits* of its block ``jetstream``, *programs* what each
    is run by, *stores* where each keeps its streams, *hosts* where each runs. Several are a cluster. A context manager
    that ends them.
    """

    def __init__(
        self,
        directory: Path,
        *,
        count: int = 1,
        sync_interval: str = "always",
        settings: str = "",
        limits: str = "",
        programs: Sequence[Path] = (),
        stores: Sequence[Path] = (),
        hosts: Sequence[Host] = (),
    ) -> None:
        ports = _free_ports(3 * count)
        names = [f"n{number}" for number in range(1, count + 1)]
        programs = programs or [PROGRAM] * count
        stores = stores or [directory / name / "store" for name in names]
        hosts = hosts or [Host()] * count
        self.nodes = [
            Node(name, directory / name, hosts[i], ports[3 * i : 3 * i + 3], program=programs[i], store=stores[i])
            for i, name in enumerate(names)
        ]
        for node in self.nodes:
            node.configure(self._configuration(node, sync_interval, settings, limits))
        self.start()

    @property
    def addresses(self) -> str:
        """All of them, as they stand in a URL."""
        return ",".join(node.address for node in self.nodes)

    @property
    def url(self) -> str:
        return f"nats://{self.addresses}"

    def start(self) -> None:
        """Start all that are down, and wait until all are healthy."""
        try:
            for node in self.nodes:
                if not node.running:
                    node.start()
            self.wait_healthy()
        except AssertionError:
            self.close()
            raise

    def wait_healthy(self) -> None:
        for node in self.nodes:
            node.wait_healthy()

    def kill(self) -> None:
        """End all at once, as a power cut does but for the disks."""
        for node in self.nodes:
            node.kill()

    def node(self, name: str) -> Node:
        """The one of this name, as clients and streams tell it."""
        return next(node for node in self.nodes if node.name == name)

    def at(self, port: int) -> Node:
        """The one that clients reach at *port*."""
        return next(node for node in self.nodes if node.port == port)

    close = kill

    def __enter__(self) -> Servers:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _configuration(self, node: Node, sync_interval: str, settings: str, limits: str) -> str:
        lines = [
            f"server_name: {node.name}",
            f'listen: "{node.address}"',
            f'http: "{node.host.address}:{node.monitor_port}"',
            "max_payload: 8MB",
            f'jetstream {{ store_dir: "{node.store}"\n sync_interval: {sync_interval}\n {limits} }}',
            settings,
        ]
        if len(self.nodes) > 1:
            routes = ", ".join(f'"nats://{other.host.address}:{other.route_port}"' for other in self.nodes)
            own = f"{node.host.address}:{node.route_port}"
            lines.append(f'cluster {{ name: tests\n listen: "{own}"\n routes: [{routes}] }}')
        return "\n".join(lines)


def _free_ports(count: int) -> list[int]:
    """Ports nobody listens on: a cluster's have to be known before it starts, and stay over restarts."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(probe.getsockname()[1]) for probe in probes]
