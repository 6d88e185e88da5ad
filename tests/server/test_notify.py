"""What a service manager is told, over a real datagram socket as sd_notify(3) describes it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from tests.conftest import StartServer
from tests.support import PATIENCE, request, subscribe

pytestmark = pytest.mark.every_engine


@contextmanager
def _manager(address: str) -> Iterator[socket.socket]:
    """What a manager listens on; a leading @ makes an abstract address."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(PATIENCE)
        listener.bind("\0" + address[1:] if address.startswith("@") else address)
        yield listener


def _told(manager: socket.socket) -> dict[str, str]:
    return dict(line.split("=", 1) for line in manager.recv(4096).decode().splitlines())


@pytest.mark.parametrize("abstract", [False, True], ids=["in the file system", "abstract"])
def test_the_manager_hears_of_start_and_stop(start_server: StartServer, tmp_path: Path, abstract: bool) -> None:
    address = f"@bus-{uuid4()}" if abstract else str(tmp_path / "notify")
    with _manager(address) as manager:
        server = start_server(env={"NOTIFY_SOCKET": address})
        assert _told(manager) == {"READY": "1", "STATUS": f"serving app, orders, github on {server.url}"}
        with subscribe(server, "app.>") as stream:
            stream.take(1, "open")
            assert server.stop() == 0
        assert _told(manager) == {"STOPPING": "1", "STATUS": "stopping, 1 streams to end"}


def test_the_watchdog_is_fed_until_the_server_stops(start_server: StartServer, tmp_path: Path) -> None:
    with _manager(str(tmp_path / "notify")) as manager:
        server = start_server(env={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"})
        told: list[dict[str, str]] = []
        while told.count({"WATCHDOG": "1"}) < 4 or not any("READY" in message for message in told):
            told.append(_told(manager))
        assert server.stop() == 0


@pytest.mark.parametrize("watchdog", ["", "0", "soon"])
def test_without_a_watchdog_there_is_no_feeding(start_server: StartServer, tmp_path: Path, watchdog: str) -> None:
    with _manager(str(tmp_path / "notify")) as manager:
        server = start_server(env={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": watchdog})
        assert server.stop() == 0
        assert ["READY" in _told(manager), "STOPPING" in _told(manager)] == [True, True]


def test_a_manager_that_is_gone_stops_nothing(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server(env={"NOTIFY_SOCKET": str(tmp_path / "nobody"), "WATCHDOG_USEC": "1000"})
    assert request(server, "POST", "/", b'{"subject":"app.a"}').status == 202
    assert server.stop() == 0
    assert "Traceback" not in server.log
