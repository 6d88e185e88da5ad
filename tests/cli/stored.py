"""Data directories made by the real server, to be dumped, copied, verified and looked into."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep

import msgspec

from bus import Client
from tests.support import BUS, PATIENCE, ServerProcess, clean_environment, request, run_bus

SECRET = "correct horse"


@dataclass(frozen=True)
class Stored:
    """A data directory that no server has, and the environment in which commands can read it."""

    path: Path
    env: dict[str, str] = field(default_factory=dict)

    def dump(self, *args: str) -> bytes:
        """What `bus dump` writes."""
        dumped = run_bus("dump", "--path", self.path, *args, env=self.env)
        assert dumped.returncode == 0, dumped.stderr
        return dumped.stdout

    def verify(self) -> subprocess.CompletedProcess[bytes]:
        return run_bus("verify", "--path", self.path, env=self.env)

    def segments(self, namespace: str = "app") -> list[Path]:
        return sorted((self.path / namespace).glob("*.log"))


def fill(server: ServerProcess) -> None:
    """Publish events of every kind: single, in batches, with and without fields, in two namespaces, one given up."""
    for number in range(20):
        publish(server, [{"subject": "app.n.single", "payload": number}])
    publish(server, [{"subject": f"app.n.{number % 3}", "payload": {"n": number, "ü": "é\n"}} for number in range(200)])
    publish(server, [{"subject": "orders.paid", "payload": number, "key": f"order-{number}"} for number in range(30)])
    own = {"id": "my-own-id", "trace_id": 'tr"ace', "created_at": "2020-02-29T12:00:00.5+01:00"}
    headers = {"traceparent": "00", "x": "é\n"}
    publish(server, [{"subject": "app.own", "payload": [], **own, "headers": headers, "ttl": "99w"}])
    publish(server, [{"subject": "app.später", "response_subject": "_bus_.x", "headers": {}}])
    give_up(server)


def give_up(server: ServerProcess) -> None:
    """Have the durable consumer `billing` acknowledge the first orders and give up the third."""
    with (
        Client(server.url) as client,
        client.get("orders.*", start="oldest", ack="manual", consumer="billing") as events,
    ):
        next(events).ack()
        next(events).ack()
        next(events).reject(reason="no such account")
        next(events).ack()
    subscribed = request(server, "GET", "/?subject=orders._dead_.>&start=oldest&limit=1", Accept="application/x-ndjson")
    assert subscribed.body, "the dead letter is stored"


def publish(server: ServerProcess, events: Sequence[dict[str, object]]) -> None:
    body = b"\n".join(map(msgspec.json.encode, events))
    answer = request(server, "POST", "/", body, Content_Type="application/x-ndjson")
    assert answer.status == 202 and b'"error"' not in answer.body, answer.body


def delivered(server: ServerProcess, namespace: str) -> bytes:
    """All events of a namespace, as the server sends them."""
    target = f"/?subject={namespace}.>,{namespace}._dead_.>&start=oldest&follow=false&expired=true"
    return request(server, "GET", target, Accept="application/x-ndjson").body


@contextmanager
def running(*args: str | Path, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """``bus`` with *args* while the block runs, its standard streams as pipes."""
    command, pipe = [*BUS, *map(str, args)], subprocess.PIPE
    environment = clean_environment(**(env or {}))
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(true: Callable[[], object]) -> None:
    """Wait for something in a directory, which tells nobody when it changes."""
    deadline = monotonic() + PATIENCE
    while not true():
        assert monotonic() < deadline, "it never came about"
        sleep(0.01)


def on_a_terminal(*args: str | Path, env: dict[str, str] | None = None) -> str:
    """What ``bus`` with *args* shows on a terminal of 100 columns."""
    terminal, end = os.openpty()
    command = [*BUS, *map(str, args)]
    environment = clean_environment(TERM="xterm", COLUMNS="100", **(env or {}))
    with subprocess.Popen(command, stdin=end, stdout=end, stderr=end, env=environment) as process:
        os.close(end)
        shown = b""
        try:
            while data := os.read(terminal, 65536):
                shown += data
        except OSError:  # Linux says so when the other end is closed
            pass
        finally:
            os.close(terminal)
        process.wait(PATIENCE)
    return shown.decode()
