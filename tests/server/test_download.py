"""Downloads: what is fetched, what isn't, and that nobody waits for it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from bus.errors import ConnectionFailedError
from bus.server import download
from bus.server.download import LARGEST, Download
from tests.key_server import KeyServer, key_server


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with key_server('{"keys": []}') as found:
        yield found


def fetch(address: str) -> bytes | ConnectionFailedError:
    """What a download comes to; starting it twice is one."""

    async def run() -> bytes | ConnectionFailedError:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[bytes | ConnectionFailedError] = loop.create_future()
        found = Download(address, done.set_result, loop)
        found.start()
        found.start()
        result = await done
        assert not found.under_way
        return result

    return asyncio.run(run())


def test_a_document(server: KeyServer) -> None:
    assert fetch(server.url) == b'{"keys": []}'
    assert server.asked == 1


@pytest.mark.parametrize("status", [301, 302, 404, 500])
def test_other_answers(server: KeyServer, status: int) -> None:
    server.status, server.headers = status, {"Location": server.url}
    assert str(fetch(server.url)) == f"{server.url} can't be fetched: it answers {status}"
    assert server.asked == 1


def test_more_than_is_taken(server: KeyServer) -> None:
    server.body = "x" * (LARGEST + 1)
    assert str(fetch(server.url)).endswith("it is larger than 1048576 bytes")


def test_one_that_takes_too_long(server: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "SECONDS", 0.05)
    server.open.clear()
    assert "can't be fetched: " in str(fetch(server.url))


def test_one_that_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/"
    assert str(fetch(address)).endswith("Connection refused")
    assert isinstance(fetch("http://x y/"), ConnectionFailedError)


def test_one_whose_certificate_nobody_trusts(server: KeyServer) -> None:
    assert isinstance(fetch(server.url.replace("http", "https")), ConnectionFailedError)
