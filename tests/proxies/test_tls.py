"""Both clients of the SDK over TLS that a proxy ends, with its certificate known and unknown."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme

from bus import AsyncClient, Client
from bus.errors import ConnectionFailedError
from tests.proxies.conftest import StartProxy
from tests.proxies.support import Proxy
from tests.support import PATIENCE, ServerProcess, run_bus


@pytest.fixture
def proxy(server: ServerProcess, start_proxy: StartProxy) -> Proxy:
    """A proxy in front of `server`."""
    return start_proxy(server)


@pytest.fixture
def certificates(tmp_path: Path, authority: trustme.CA) -> Path:
    """A file with the certificate of the proxy's authority."""
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    return file


def _talk(client: Client) -> list[object]:
    """Publish, subscribe and acknowledge."""
    client.put("app.test", 1)
    client.put("app.test", 2)
    payloads = []
    with client.get("app.test", start="oldest", ack="manual", limit=2) as events:
        for event in events:
            payloads.append(event.payload)
            event.ack()
    return payloads


async def _talk_async(client: AsyncClient) -> list[object]:
    await asyncio.gather(client.put("app.test", 1), client.put("app.test", 2))
    payloads = []
    async with client.get("app.test", start="oldest", ack="manual", limit=2) as events:
        async for event in events:
            payloads.append(event.payload)
            await event.ack()
    return payloads


def test_a_client_is_given_the_authority(proxy: Proxy, certificates: Path) -> None:
    with Client(proxy.tls_url, tls=ssl.create_default_context(cafile=certificates), timeout=PATIENCE) as client:
        assert _talk(client) == [1, 2]


def test_an_async_client_is_given_the_authority(proxy: Proxy, certificates: Path) -> None:
    async def talk() -> list[object]:
        tls = ssl.create_default_context(cafile=certificates)
        async with AsyncClient(proxy.tls_url, tls=tls, timeout=PATIENCE) as client:
            return await _talk_async(client)

    assert sorted(asyncio.run(talk()), key=str) == [1, 2]


def test_the_authority_is_taken_from_the_environment(
    proxy: Proxy, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates))

    async def talk() -> list[object]:
        async with AsyncClient(proxy.tls_url, timeout=PATIENCE) as client:
            return await _talk_async(client)

    with Client(proxy.tls_url, timeout=PATIENCE) as client:
        assert _talk(client) == [1, 2]
    assert len(asyncio.run(talk())) == 2


UNTRUSTED = r"\Acan't trust the certificate of https://127.0.0.1:\d+: unable to get local issuer certificate\Z"


def test_an_unknown_certificate_is_one_clear_error(proxy: Proxy) -> None:
    with Client(proxy.tls_url) as client:
        with pytest.raises(ConnectionFailedError, match=UNTRUSTED):
            client.put("app.test", 1)
        with pytest.raises(ConnectionFailedError, match=UNTRUSTED):
            next(client.get("app.test"))


def test_an_unknown_certificate_is_one_clear_error_of_an_async_client(proxy: Proxy) -> None:
    async def talk() -> None:
        async with AsyncClient(proxy.tls_url) as client:
            with pytest.raises(ConnectionFailedError, match=UNTRUSTED):
                await client.put("app.test", 1)
            with pytest.raises(ConnectionFailedError, match=UNTRUSTED):
                await anext(client.get("app.test"))

    asyncio.run(talk())


def test_the_command_takes_the_authority_from_the_environment(proxy: Proxy, certificates: Path) -> None:
    put = run_bus(
        "put", "--subject", "app.test", "--data", "1", "--host", proxy.tls_url, env={"SSL_CERT_FILE": str(certificates)}
    )
    assert (put.returncode, put.stderr) == (0, b"")


def test_the_command_says_that_a_certificate_is_unknown(proxy: Proxy) -> None:
    put = run_bus("put", "--subject", "app.test", "--data", "1", "--host", proxy.tls_url)
    assert put.returncode == 1
    assert b"can't trust the certificate" in put.stderr and len(put.stderr.splitlines()) == 1
