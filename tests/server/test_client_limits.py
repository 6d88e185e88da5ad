"""What one address may ask and send, and what it is told beyond that."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import Iterator
from itertools import count

import pytest

from bus import AsyncClient, Client, TooManyRequestsError
from bus.wire import NDJSON
from tests.conftest import StartServer
from tests.server.support import draft, post, publish, read_lines, refusal, upload
from tests.support import ServerProcess, request

FEW = ["--limit-requests", "3/h"]
PROXIED = ["--trusted-proxies", "127.0.0.1"]
EVENT = draft("app.a", "x" * 2000)

_numbers = count(1)


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with limits that takes this machine for a proxy, so that each test can be somebody else."""
    flags = [*FEW, *PROXIED, "--limit-bytes", "1KB/h"]
    server = ServerProcess(tmp_path_factory.mktemp("limited") / "data", flags=flags)
    yield server
    server.close()


@pytest.fixture
def address() -> str:
    """An address that nobody else has."""
    return f"203.0.113.{next(_numbers)}"


def test_requests_beyond_the_limit_are_refused(limited: ServerProcess, address: str) -> None:
    assert [request(limited, "HEAD", "/", X_Forwarded_For=address).status for _ in range(3)] == [200] * 3
    for method, path in (("POST", "/"), ("GET", "/v1/namespaces"), ("GET", "/nowhere"), ("OPTIONS", "/")):
        refused = request(limited, method, path, X_Forwarded_For=address)
        assert refused.status == 429
        assert 0 < int(refused.headers["retry-after"]) <= 1200
    text = refusal(request(limited, "GET", "/", X_Forwarded_For=address))[1]
    assert text.startswith(f"{address} is over its limit of requests, 3/h: try again in ")
    problem = request(limited, "GET", "/", X_Forwarded_For=address, Accept="application/json").body
    assert b'"code":"too-many-requests"' in problem
    for probe in ("/healthz", "/readyz", "/metrics"):
        assert request(limited, "GET", probe, X_Forwarded_For=address).status == 200


@pytest.mark.parametrize(
    ("pieces", "headers"),
    [([EVENT], {}), ([b"[", EVENT, b"]"], {}), ([gzip.compress(EVENT)], {"Content_Encoding": "gzip"})],
    ids=["one", "array", "gzip"],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_may_be_larger_than_what_is_left_and_is_waited_for(
    limited: ServerProcess, address: str, pieces: list[bytes], headers: dict[str, str], chunked: bool
) -> None:
    first, second = (
        post(limited, iter(pieces) if chunked else b"".join(pieces), **headers, X_Forwarded_For=address)
        for _ in range(2)
    )
    assert first.status == 202
    status, text = refusal(second)
    assert (status, "limit of bytes, 1000/h" in text) == (429, True)
    without_body = request(limited, "HEAD", "/", X_Forwarded_For=address)
    assert without_body.status == 200


def test_an_upload_is_slowed_down_and_never_refused(start_server: StartServer) -> None:
    server = start_server(flags=["--limit-bytes", "1MB/100ms"])
    lines = [draft("app.a", "x" * 10_000) for _ in range(300)]
    assert [receipt["index"] for receipt in upload(server, lines)] == list(range(1, 301))
    packed = gzip.compress(b"\n".join(lines))
    answer = post(server, packed, Content_Type=NDJSON, Content_Encoding="gzip")
    assert len(answer.body.splitlines()) == 300
    assert len(read_lines(server, "app.a")) == 600


@pytest.mark.parametrize("client", ["198.51.100.7", "2001:db8::1"])
def test_a_proxy_is_believed_for_whom_it_asks(limited: ServerProcess, client: str) -> None:
    asked = [request(limited, "HEAD", "/", X_Forwarded_For=f"{n}.1.1.1, {client}").status for n in range(1, 5)]
    assert asked == [200, 200, 200, 429]
    assert request(limited, "HEAD", "/", Forwarded=f'for="[{client}]"').status == 429


def test_a_proxy_that_names_two_clients_is_refused(limited: ServerProcess) -> None:
    status, text = refusal(request(limited, "GET", "/", Forwarded="for=192.0.2.1", X_Forwarded_For="192.0.2.2"))
    assert (status, "name different clients" in text) == (400, True)


def test_nobody_else_is_believed(start_server: StartServer, address: str) -> None:
    server = start_server(flags=FEW)
    asked = [request(server, "HEAD", "/", X_Forwarded_For=f"203.0.113.{number}").status for number in range(4)]
    assert asked == [200, 200, 200, 429]
    with socket.create_connection(("127.0.0.1", server.port), source_address=("127.0.0.2", 0)) as other:
        other.sendall(b"HEAD / HTTP/1.1\r\nHost: bus\r\nConnection: close\r\n\r\n")
        assert other.recv(4096).startswith(b"HTTP/1.1 200")


def test_a_proxy_holds_any_number_of_connections(start_server: StartServer) -> None:
    server = start_server(flags=["--max-connections-per-address", "1", *PROXIED])
    with socket.create_connection(("127.0.0.1", server.port)):
        assert publish(server, "app.a").status == 202


def test_the_sdk_waits_until_it_may_go_on(start_server: StartServer) -> None:
    server = start_server(flags=["--limit-requests", "2/500ms"])
    with Client(server.url) as client:
        assert [client.put("app.a", number).index for number in range(4)] == [1, 2, 3, 4]
        assert [event.payload for event in client.get("app.a", start="oldest", follow=False)] == [0, 1, 2, 3]


def _put_blocking(url: str) -> None:
    with Client(url) as client:
        client.put("app.a", 1)


async def _put(url: str) -> None:
    async with AsyncClient(url) as client:
        await client.put("app.a", 1)


def test_the_sdk_tells_for_how_long_it_would_have_to_wait(start_server: StartServer) -> None:
    server = start_server(flags=["--limit-requests", "1/h"])
    _put_blocking(server.url)
    for put in (_put_blocking, lambda url: asyncio.run(_put(url))):
        with pytest.raises(TooManyRequestsError) as refused:
            put(server.url)
        assert 3000 < refused.value.retry_after <= 3600
