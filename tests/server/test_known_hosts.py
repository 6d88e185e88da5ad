"""Requests for hosts that the server doesn't have."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.config.network_values import parse_hosts
from bus.errors import ConfigError
from bus.wire import JSON, NDJSON
from tests.server.support import draft, post, refusal
from tests.support import ServerProcess, raw, request


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with names."""
    path: Path = tmp_path_factory.mktemp("named") / "data"
    server = ServerProcess(path, flags=["--hosts", "Bus.Example.org, bus.internal:2021"])
    yield server
    server.close()


@pytest.mark.parametrize(
    "host",
    [
        "bus.example.org", "BUS.example.ORG", "bus.example.org:80", "bus.example.org:2021", "bus.internal:2021",
        "localhost", "localhost:8080", "127.0.0.1", "127.0.0.1:2021", "192.0.2.7", "[::1]", "[2001:db8::1]:2021",
    ],
)  # fmt: skip
def test_hosts_of_its_own(named: ServerProcess, host: str) -> None:
    assert request(named, "GET", "/v1/namespaces", Host=host).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:2021", "bus.internal", "bus.internal:2022", "x.bus.example.org",
        "bus.example.org.evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "2130706433",
    ],
)  # fmt: skip
@pytest.mark.parametrize(("method", "path"), [("GET", "/metrics"), ("HEAD", "/"), ("PUT", "/"), ("GET", "/nowhere")])
def test_hosts_of_others(named: ServerProcess, host: str, method: str, path: str) -> None:
    assert request(named, method, path, Host=host).status == 421


EVENT = draft("app.a")


@pytest.mark.parametrize("body", [EVENT, b"[" + EVENT + b"]", gzip.compress(EVENT)], ids=["one", "array", "gzip"])
@pytest.mark.parametrize("kind", [JSON, NDJSON])
def test_whatever_way_an_event_comes_nothing_is_stored(named: ServerProcess, body: bytes, kind: str) -> None:
    coding = "identity" if EVENT in body else "gzip"
    answer = post(named, body, Host="evil.example", Content_Type=kind, Content_Encoding=coding)
    status, text = refusal(answer)
    assert status == 421
    assert text == "host 'evil.example' is not one of this server's: name it with --hosts if it should be"
    assert b'"published":0' in request(named, "GET", "/v1/namespaces").body


def test_a_client_that_names_none_is_no_browser(named: ServerProcess) -> None:
    assert b"alive" in raw(named.port, b"GET /healthz HTTP/1.0\r\n\r\n")


def test_every_host_will_do_unless_some_are_named(bus: ServerProcess) -> None:
    assert request(bus, "GET", "/healthz", Host="anything.example").status == 200


@pytest.mark.parametrize("text", ["", ",", "http://bus", "bus/", "*.example.org", "a b", "bus:", "bus:0", "::1"])
def test_names_that_can_not_be_read(text: str) -> None:
    with pytest.raises(ConfigError, match=r"like bus\.example\.org"):
        parse_hosts(text)
