"""Fixtures that run a test with both clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from bus import Client
from tests.client.support import Awaited, Peer, Play
from tests.client.workers import Handler, Running, StartWorker, run_aio, run_blocking
from tests.support import PATIENCE, ServerProcess

Connect = Callable[..., Any]

NAMESPACES = 400
"""More than there are tests that take one, with each engine."""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, bus_command: Sequence[str]) -> Iterator[ServerProcess]:
    """One server for every test that doesn't stop it; take a namespace of one's own with `app`."""
    names = [f"app-{number}" for number in range(NAMESPACES)]
    running = ServerProcess(tmp_path_factory.mktemp("data"), namespaces=["app", *names], bus=bus_command)
    yield running
    running.close()


@pytest.fixture(scope="session")
def _namespaces() -> Iterator[int]:
    return iter(range(NAMESPACES))


@pytest.fixture
def app(_namespaces: Iterator[int]) -> str:
    """A namespace nobody has used."""
    return f"app-{next(_namespaces)}"


@pytest.fixture(params=["blocking", "aio"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """A function that makes clients, called alike whether they are blocking or not; closed after the test."""
    made: list[Any] = []

    def make(url: str, **options: Any) -> Any:
        made.append(Client(url, **options) if request.param == "blocking" else Awaited.client(url, **options))
        return made[-1]

    yield make
    for client in made:
        client.finish() if isinstance(client, Awaited) else client.close()


@pytest.fixture
def start_peer() -> Iterator[Callable[..., Peer]]:
    """A function that makes peers, which are closed after the test."""
    made: list[Peer] = []

    def start(*plays: Play) -> Peer:
        made.append(Peer(*plays))
        return made[-1]

    yield start
    for peer in made:
        peer.close()


@pytest.fixture(params=[run_blocking, run_aio], ids=["blocking", "aio"])
def start_worker(request: pytest.FixtureRequest) -> Iterator[StartWorker]:
    """A function that starts workers, each of the consumer that is named after its subject's namespace."""
    started: list[Running] = []

    def start(server: ServerProcess, subject: str, handler: Handler, **options: Any) -> Running:
        consumer = f"of-{subject.partition('.')[0]}"
        started.append(request.param(server, subject, handler, **{"consumer": consumer, **options}))
        assert started[-1].started.wait(PATIENCE)
        return started[-1]

    yield start
    for running in started:
        if running.error is None:
            running.end()
