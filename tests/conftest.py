"""Fixtures that start real servers, what is tested only on request, and the rule that nothing is skipped in CI."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Generator, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

from tests.authority import Authority
from tests.support import BUS, LATE, ServerProcess

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

_numbers = count(1)

ON_REQUEST = [Path(__file__).parent / name for name in ("faults", "install", "proxies", "third_party")]
"""What takes long, root, a network or other people's programs is collected only if named (``pytest tests/faults``)."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if collection_path not in ON_REQUEST:
        return None
    asked_for = (Path(argument.partition("::")[0]).resolve() for argument in config.args)
    return None if any(path.is_relative_to(collection_path) for path in asked_for) else True


class StartServer(Protocol):
    """Starts a server that ends with the test; keyword arguments are those of `ServerProcess`."""

    def __call__(self, path: Path | None = None, **options: Any) -> ServerProcess: ...


def pytest_configure() -> None:
    """Let programs under test hear SIGINT, which shells have what they run in the background ignore.

    Hundreds of them are started: what Python compiles for one is kept for the others, also where that is switched off.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what is marked ``every_engine`` with each of them, and what is marked ``over_tls`` also with TLS."""
    if "bus_command" not in metafunc.fixturenames:
        return
    late = metafunc.definition.get_closest_marker("every_engine")
    if metafunc.definition.get_closest_marker("over_tls"):
        ways = {"embedded": (BUS, False), "tls": (BUS, True)} | ({"late": (LATE, False)} if late else {})
        metafunc.parametrize(("bus_command", "tls"), ways.values(), ids=ways, indirect=True, scope="session")
    elif late:
        metafunc.parametrize("bus_command", [BUS, LATE], ids=["embedded", "late"], indirect=True, scope="session")


@pytest.fixture(scope="session")
def bus_command(request: pytest.FixtureRequest) -> Sequence[str]:
    """The command a server is started with, which chooses its engine."""
    command: Sequence[str] = getattr(request, "param", BUS)
    return command


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who issues the certificates of tests."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def tls(request: pytest.FixtureRequest) -> Authority | None:
    """Who issues the certificate of the server, None if it speaks in the clear."""
    return request.getfixturevalue("authority") if getattr(request, "param", False) else None


@pytest.fixture
def start_server(tmp_path: Path, bus_command: Sequence[str], tls: Authority | None) -> Iterator[StartServer]:
    """A function that starts servers, by default on one directory of the test's own."""
    started: list[ServerProcess] = []

    def start(path: Path | None = None, **options: Any) -> ServerProcess:
        started.append(ServerProcess(path or tmp_path / "data", **{"bus": bus_command, "authority": tls} | options))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def server(start_server: StartServer) -> ServerProcess:
    """A server with namespaces app, orders and github on a fresh directory."""
    return start_server()


@pytest.fixture(scope="session")
def bus(
    tmp_path_factory: pytest.TempPathFactory, bus_command: Sequence[str], tls: Authority | None
) -> Iterator[ServerProcess]:
    """A server shared by many tests: publish to a subject of your own, and don't count on indexes."""
    server = ServerProcess(
        tmp_path_factory.mktemp("bus") / "data", env={"BUS_HEARTBEAT": "1s"}, bus=bus_command, authority=tls
    )
    yield server
    server.close()


@pytest.fixture
def subject() -> str:
    """A subject nobody else uses."""
    return f"app.test{next(_numbers)}.events"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _unskipped((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _unskipped((yield))


def _unskipped(report: Report) -> Report:
    """Turn a skip into a failure in CI, where everything a test may need is installed."""
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and CI runs every test: {report.longrepr}"
    return report
