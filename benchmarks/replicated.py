"""What three nodes cost: publishing and replaying through Bus in front of NATS JetStream, beside the embedded engine.

    python -m benchmarks.replicated         three rounds in turn, medians
    python -m benchmarks.replicated 1

All servers run on this machine, as does the load, which shares its processors: five processes beside two. So ratios say
more, and a cluster of three machines does more. Synced is on disk before the answer, of a majority of the nodes.
"""

from __future__ import annotations

import statistics
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.loads import deliver, publish
from benchmarks.peers import BUS
from benchmarks.peers.base import Contender, Running
from benchmarks.rows import Measure
from benchmarks.servers import free_port, serving, work_directory

NODES = ("n1", "n2", "n3")
SECONDS = 4.0
START_SECONDS = 60.0

WORK: Mapping[str, Measure] = {
    "publish, 1 connection that waits": partial(publish.waiting, connections=1),
    "publish, 32 connections": partial(publish.waiting, connections=32),
    "publish, 128 connections": partial(publish.waiting, connections=128),
    "publish, NDJSON": partial(publish.pipelined, events=100_000),
    "replay": partial(deliver.replay, events=100_000),
}


@dataclass(frozen=True, slots=True)
class Engine:
    """What is measured: the embedded engine, or three nodes if it is *replicated*."""

    replicated: bool
    synced: bool

    def __str__(self) -> str:
        return f"{'three nodes' if self.replicated else 'embedded'}, {'synced' if self.synced else 'unsynced'}"


ENGINES = [Engine(replicated, synced) for synced in (True, False) for replicated in (False, True)]


@contextmanager
def running(engine: Engine) -> Iterator[Running]:
    """A Bus server of its own on *engine*, with empty logs."""
    with ExitStack() as stack:
        directory, port = stack.enter_context(work_directory(None)), free_port()
        command = [sys.executable, "-m", "bus", "server", "--addr", f"127.0.0.1:{port}", "--namespaces", "app"]
        if engine.replicated:
            command += ["--engine", stack.enter_context(_nodes(directory, synced=engine.synced))]
        else:
            command += ["--path", str(directory / "data"), "--fsync", "always" if engine.synced else "never"]
        server = stack.enter_context(serving(command, port, directory))
        yield Running(Contender(BUS, engine.synced), server)


@contextmanager
def _nodes(directory: Path, *, synced: bool) -> Iterator[str]:
    """Three nodes that have found each other; their address."""
    ports = {name: (free_port(), free_port(), free_port()) for name in NODES}
    routes = ", ".join(f'"nats://127.0.0.1:{route}"' for _, route, _ in ports.values())
    with ExitStack() as stack:
        for name, (port, route, monitor) in ports.items():
            place = directory / name
            place.mkdir()
            (place / "nats.conf").write_text(
                f'server_name: {name}\nlisten: "127.0.0.1:{port}"\nhttp: "127.0.0.1:{monitor}"\nmax_payload: 8MB\n'
                f'jetstream {{ store_dir: "{place}/data"\n {"sync_interval: always" if synced else ""} }}\n'
                f'cluster {{ name: bench\n listen: "127.0.0.1:{route}"\n routes: [{routes}] }}\n'
            )
            program = Path(sys.executable).with_name("nats-server")
            stack.enter_context(serving([str(program), "--config", str(place / "nats.conf")], port, place))
        for _, _, monitor in ports.values():
            _wait_until_healthy(f"http://127.0.0.1:{monitor}/healthz")
        yield "nats://" + ",".join(f"127.0.0.1:{port}" for port, _, _ in ports.values())


def _wait_until_healthy(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def measure(engine: Engine, work: str) -> float:
    """Events per second."""
    with running(engine) as server:
        return WORK[work](server, SECONDS)["rate"]


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    found: dict[tuple[str, Engine], list[float]] = {}
    for _ in range(rounds):
        for work in WORK:
            for engine in ENGINES:
                found.setdefault((work, engine), []).append(measure(engine, work))
                print(f"{work}, {engine}: {found[work, engine][-1]:,.0f}/s", file=sys.stderr)
    print(f"| events/s | {' | '.join(map(str, ENGINES))} |\n|---|{'---|' * len(ENGINES)}")
    for work in WORK:
        medians = (statistics.median(found[work, engine]) for engine in ENGINES)
        print(f"| {work} | {' | '.join(f'{median:,.0f}' for median in medians)} |")


if __name__ == "__main__":
    main()
