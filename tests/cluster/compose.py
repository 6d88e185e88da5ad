"""What docker-compose.cluster.yml starts, as processes of this machine: the same commands, settings and files.

A service stands for an address of its own in 127.0.0.0/8, where ports may be the same; the proxy alone listens on
127.0.0.1.
"""

from __future__ import annotations

import http.client
import random
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bus.wire import DURABILITY
from tests.nats.servers import PROGRAM, START_SECONDS
from tests.proxies.support import free_port
from tests.support import BUS, PATIENCE, clean_environment, request

FILE = Path(__file__).parents[2] / "docker-compose.cluster.yml"
NODES, SERVERS, PROXY = ("n1", "n2", "n3"), ("bus1", "bus2"), "proxy"
VOLUME = "/data"


class Deployment:
    """The services of the file below *directory*, ready when `start` returns. `port` is the proxy's."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._directory = directory
        described: dict[str, Any] = yaml.safe_load(FILE.read_text())
        self._services: Mapping[str, dict[str, Any]] = described["services"]
        self._files = {name: config["content"] for name, config in described["configs"].items()}
        net = f"127.{random.randint(1, 254)}.{random.randint(0, 255)}"
        self._addresses = {name: f"{net}.{number}" for number, name in enumerate(self._services, 1)}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start everything, and wait until both servers are ready and the proxy knows it."""
        for name in (*NODES, *SERVERS, PROXY):
            self.start_one(name)
        self._wait_until_ready()

    def start_one(self, name: str) -> None:
        """Start the service of this *name*, which doesn't run."""
        place = self._directory / name
        (place / "store").mkdir(parents=True, exist_ok=True)
        command, env = self._command(name, place)
        with (place / "log").open("ab") as log:
            self._running[name] = subprocess.Popen(command, stdout=log, stderr=log, env=env, process_group=0)

    def kill(self, name: str) -> None:
        """End the service of this *name* at once, as a crash does."""
        process = self._running.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE)

    def close(self) -> None:
        for name in list(self._running):
            self.kill(name)

    def durability(self) -> str:
        """What a receipt through the proxy says, of an event that doesn't count; empty if it isn't stored."""
        try:
            answer = request(self, "POST", "/", b'{"subject": "users.ready", "payload": null}')
        except OSError:
            return ""
        return answer.headers[DURABILITY.lower()] if answer.status == 202 else ""

    def log(self, name: str) -> str:
        return (self._directory / name / "log").read_text(errors="replace")

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not (all(map(self._is_ready, SERVERS)) and self.durability()):
            assert time.monotonic() < deadline, {name: self.log(name)[-1000:] for name in self._running}
            for name in SERVERS:  # compose does it, for they end without nodes ("restart: unless-stopped")
                if self._running[name].poll() is not None:
                    self.start_one(name)
            time.sleep(0.1)

    def _is_ready(self, name: str) -> bool:
        """Whether the server of this *name* says so, as it is asked by the proxy."""
        connection = http.client.HTTPConnection(self._addresses[name], 2021, timeout=PATIENCE)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def _command(self, name: str, place: Path) -> tuple[Sequence[str], Mapping[str, str]]:
        service = self._services[name]
        given = dict(line.split("=", 1) for line in service.get("environment", ()))
        env = clean_environment(**{key: self._here(value, name, place) for key, value in given.items()})
        files = {config["target"]: self._file(config["source"], name, place) for config in service.get("configs", ())}
        if name == PROXY:
            return ["haproxy", "-db", "-f", str(*files.values())], env
        if name in SERVERS:
            return [*BUS, "server"], env
        return [str(PROGRAM), *(str(files.get(word, word)) for word in service["command"])], env

    def _file(self, source: str, name: str, place: Path) -> Path:
        path = place / source
        path.write_text(self._here(self._files[source], name, place))
        return path

    def _here(self, text: str, name: str, place: Path) -> str:
        """*text* of the service of this *name* with addresses, ports and paths of this machine."""
        text = text.replace("0.0.0.0", self._addresses[name]).replace("bind :2021", f"bind 127.0.0.1:{self.port}")
        text = text.replace(f"store_dir: {VOLUME}", f'store_dir: "{place / "store"}"')
        hosts = "|".join(self._addresses)
        return re.sub(rf"\b({hosts})(?=:\d)", lambda found: self._addresses[found[1]], text)

    def __repr__(self) -> str:
        return f"<Deployment at {self.port}: {', '.join(self._running)}>"
