"""The servers that are measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers.base import Contender, Peer, Running
from benchmarks.peers.bus import Bus
from benchmarks.peers.nats import Nats
from benchmarks.peers.redis import Redis
from benchmarks.servers import free_port, serving, work_directory

BUS, NATS, REDIS = Bus(), Nats(), Redis()
POLLING_BUS = Bus("--busy-poll", "100us")
PEERS: tuple[Peer, ...] = (BUS, NATS, REDIS)


@contextmanager
def running(contender: Contender, parent: Path | None) -> Iterator[Running]:
    """*contender* on an empty directory in *parent*. Raises `PeerError` if it can't run."""
    with work_directory(parent) as directory:
        port = free_port()
        command = contender.peer.command(directory, port, synced=contender.synced)
        with serving(command, port, directory) as server:
            contender.peer.prepare(port)
            yield Running(contender, server)
