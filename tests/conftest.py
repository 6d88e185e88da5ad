"""Fixtures that start real servers, what is tested only on request, and the rule that nothing is skipped in CI."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from hashlib import sha1
from itertools import count, pairwise
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest
from hypothesis import settings

from bus.build import COMPILED
from tests.authority import Authority
from tests.nats.servers import Servers
from tests.support import BUS, LATE, ServerProcess

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

_numbers = count(1)

FOLDERS = ("cluster", "faults", "install", "jetstream", "proxies", "third_party", "ui")
ON_REQUEST = [Path(__file__).parent / name for name in FOLDERS]
"""What takes long, root, a network or other people's programs is collected only if named (``pytest tests/faults``)."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if collection_path not in ON_REQUEST:
        return None
    asked_for = (Path(argument.partition("::")[0]).resolve() for argument in config.args)
    return None if any(path.is_relative_to(collection_path) for path in asked_for) else True


EngineAt = Callable[[Path], dict[str, str]]


class StartServer(Protocol):
    """Starts a server that ends with the test; keyword arguments are those of `ServerProcess`."""

    def __call__(self, path: Path | None = None, **options: Any) -> ServerProcess: ...


def pytest_xdist_auto_num_workers() -> int:
    """More workers than processors: a third of the time tests wait for servers, clocks and disks."""
    return (os.cpu_count() or 1) * 3 // 2


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--jetstream", action="store_true", help="run what is marked every_engine on NATS JetStream alone")


def pytest_configure() -> None:
    """Let programs under test hear SIGINT, which shells have what they run in the background ignore.

    Hundreds of them are started: what Python compiles for one is kept for the others, also where that is switched off.
    No example of Hypothesis has to be quick, for machines are slow at times.
    """
    settings.register_profile("untimed", deadline=None)
    settings.load_profile("untimed")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what can't be run here, and on JetStream what isn't promised there or has nothing to do with it."""
    _keep(config, items, lambda item: not COMPILED or item.get_closest_marker("pure_only") is None)
    if config.getoption("jetstream"):
        _keep(config, items, _runs_on_jetstream)


def _keep(config: pytest.Config, items: list[pytest.Item], wanted: Callable[[pytest.Item], bool]) -> None:
    config.hook.pytest_deselected(items=[item for item in items if not wanted(item)])
    items[:] = filter(wanted, items)


def _runs_on_jetstream(item: pytest.Item) -> bool:
    if item.get_closest_marker("every_engine") is None:
        return "jetstream" in item.path.parts
    return item.get_closest_marker("embedded_only") is None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what is marked ``every_engine`` with each of them, and what is marked ``over_tls`` also with TLS."""
    if "bus_command" not in metafunc.fixturenames:
        return
    late = metafunc.definition.get_closest_marker("every_engine")
    if metafunc.config.getoption("jetstream"):
        metafunc.parametrize("bus_command", [BUS], ids=["jetstream"], indirect=True, scope="session")
        return
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
def engine_at(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineAt]:
    """The variables that choose the engine of a server, by its directory: the same one has the same events."""
    if not request.config.getoption("jetstream"):
        yield lambda path: {}
        return
    limits = "limits { batch { max_msgs: 16384 } }"
    with Servers(tmp_path_factory.mktemp("nats"), count=1, limits=limits) as servers:
        yield lambda path: {"BUS_ENGINE": f"{servers.url}/{sha1(str(path).encode()).hexdigest()[:16]}"}


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who issues the certificates of tests."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def tls(request: pytest.FixtureRequest) -> Authority | None:
    """Who issues the certificate of the server, None if it speaks in the clear."""
    return request.getfixturevalue("authority") if getattr(request, "param", False) else None


@pytest.fixture
def start_server(
    tmp_path: Path, bus_command: Sequence[str], tls: Authority | None, engine_at: EngineAt
) -> Iterator[StartServer]:
    """A function that starts servers, by default on one directory of the test's own."""
    started: list[ServerProcess] = []

    def start(path: Path | None = None, **options: Any) -> ServerProcess:
        place = path or tmp_path / "data"
        if engine := engine_at(place):
            options |= {"env": engine | options.get("env", {}), "flags": _without_syncs(options.get("flags", ()))}
        started.append(ServerProcess(place, **{"bus": bus_command, "authority": tls} | options))
        return started[-1]

    yield start
    for server in started:
        server.close()


def _without_syncs(flags: Sequence[str]) -> list[str]:
    """*flags* but for what has tests of the embedded engine take less time."""
    left_out = {place for place, pair in enumerate(pairwise(flags)) if pair == ("--fsync", "never")}
    return [flag for place, flag in enumerate(flags) if not {place, place - 1} & left_out]


@pytest.fixture
def server(start_server: StartServer) -> ServerProcess:
    """A server with namespaces app, orders and github on a fresh directory."""
    return start_server()


@pytest.fixture(scope="session")
def bus(
    tmp_path_factory: pytest.TempPathFactory, bus_command: Sequence[str], tls: Authority | None, engine_at: EngineAt
) -> Iterator[ServerProcess]:
    """A server shared by many tests: publish to a subject of your own, and don't count on indexes."""
    path = tmp_path_factory.mktemp("bus") / "data"
    env = {"BUS_HEARTBEAT": "1s"} | engine_at(path)
    server = ServerProcess(path, env=env, bus=bus_command, authority=tls)
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
