"""Clients over TLS: whom they trust, what they show, and what they say when there will be no TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bus import AsyncClient, Client
from bus.client.core.request import Endpoint
from bus.client.core.tls import make_tls
from bus.errors import BusError, ConnectionFailedError, InvalidParameterError
from tests.authority import Authority, Identity
from tests.support import PATIENCE, ServerProcess, run_bus

Talk = Callable[..., list[object]]


def _talk(url: str, **options: Any) -> list[object]:
    with Client(url, timeout=PATIENCE, **options) as client:
        client.put("app.tls", {"n": 1})
        return [event.payload for event in client.get("app.tls", start="oldest", follow=False)][-1:]


def _talk_async(url: str, **options: Any) -> list[object]:
    async def talk() -> list[object]:
        async with AsyncClient(url, timeout=PATIENCE, **options) as client:
            await client.put("app.tls", {"n": 1})
            return [event.payload async for event in client.get("app.tls", start="oldest", follow=False)][-1:]

    return asyncio.run(talk())


@pytest.fixture(params=[_talk, _talk_async], ids=["blocking", "asyncio"])
def talk(request: pytest.FixtureRequest) -> Talk:
    """Publishes and reads with one of the clients."""
    chosen: Talk = request.param
    return chosen


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path_factory.mktemp("secure") / "data", authority=authority)
    yield server
    server.close()


@pytest.fixture(scope="module")
def demanding(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[ServerProcess]:
    """A server whose clients need a certificate."""
    flags = ["--tls-client-ca", str(authority.path)]
    server = ServerProcess(tmp_path_factory.mktemp("demanding") / "data", authority=authority, flags=flags)
    yield server
    server.close()


@pytest.fixture(scope="module")
def own(authority: Authority) -> Identity:
    """What the client shows."""
    return authority.issue("client", "billing")


# -- trust


def test_an_authority_is_given(secure: ServerProcess, authority: Authority, talk: Talk) -> None:
    assert talk(secure.url, ca=authority.path) == talk(secure.url, ca=str(authority.path)) == [{"n": 1}]
    assert talk(secure.url, tls=authority.client_context()) == [{"n": 1}]


@pytest.mark.parametrize("variable", ["BUS_CA_FILE", "SSL_CERT_FILE"])
def test_an_authority_is_named_in_the_environment(
    secure: ServerProcess, authority: Authority, talk: Talk, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(authority.path))
    assert talk(secure.url) == [{"n": 1}]


def test_an_unknown_authority_is_one_clear_error(secure: ServerProcess, talk: Talk) -> None:
    with pytest.raises(ConnectionFailedError, match=r"\Acan't trust the certificate of https://127.0.0.1:\d+: unable"):
        talk(secure.url)


def test_a_server_that_speaks_no_tls_is_one_clear_error(server: ServerProcess, talk: Talk) -> None:
    with pytest.raises(ConnectionFailedError, match=r"\Ahttps://127.0.0.1:\d+ speaks no TLS: ask for http://"):
        talk(server.url.replace("http:", "https:"))


def test_a_client_that_speaks_no_tls_is_told_so(secure: ServerProcess, talk: Talk) -> None:
    with pytest.raises(BusError, match=r"\Athis port takes HTTPS: ask for https:// instead\Z"):
        talk(secure.url.replace("https:", "http:"))


# -- certificates of clients


def test_a_certificate_is_shown(demanding: ServerProcess, authority: Authority, own: Identity, talk: Talk) -> None:
    assert talk(demanding.url, ca=authority.path, cert=(own.certificate, own.key)) == [{"n": 1}]


def test_a_certificate_and_its_key_are_in_one_file(
    demanding: ServerProcess, authority: Authority, own: Identity, talk: Talk, tmp_path: Path
) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(own.certificate.read_bytes() + own.key.read_bytes())
    assert talk(demanding.url, ca=authority.path, cert=both) == [{"n": 1}]


def test_a_certificate_is_named_in_the_environment(
    demanding: ServerProcess, authority: Authority, own: Identity, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUS_CERT_FILE", str(own.certificate))
    monkeypatch.setenv("BUS_KEY_FILE", str(own.key))
    assert talk(demanding.url, ca=authority.path) == [{"n": 1}]


def test_a_certificate_that_is_missing_is_one_clear_error(
    demanding: ServerProcess, authority: Authority, talk: Talk
) -> None:
    with pytest.raises(ConnectionFailedError, match="wants a certificate of this client that it trusts: "):
        talk(demanding.url, ca=authority.path)


def test_the_command_shows_one_too(demanding: ServerProcess, authority: Authority, own: Identity) -> None:
    trust = {"BUS_CA_FILE": str(authority.path)}
    shown = {"BUS_CERT_FILE": str(own.certificate), "BUS_KEY_FILE": str(own.key)}
    put = ["put", "--subject", "app.tls", "--data", '{"n": 1}', "--host", demanding.url]
    assert run_bus(*put, env={**trust, **shown}).returncode == 0
    assert b'"subject":"app.tls"' in run_bus("dump", "--path", demanding.url, env={**trust, **shown}).stdout
    refused = run_bus(*put, env=trust)
    assert refused.returncode == 1
    assert b"wants a certificate of this client" in refused.stderr and len(refused.stderr.splitlines()) == 1


# -- files and contexts


HTTPS = Endpoint.parse("https://localhost:2021")


def test_nothing_is_made_for_a_server_in_the_clear() -> None:
    assert make_tls(Endpoint.parse("http://localhost"), ca="nowhere.pem", tls=None, environ={}) is None


def test_a_context_beside_files_is_refused(authority: Authority) -> None:
    for files in ({"ca": authority.path}, {"cert": "cert.pem"}):
        with pytest.raises(InvalidParameterError, match="don't go together"):
            make_tls(HTTPS, tls=ssl.create_default_context(), **files)


def test_files_that_can_not_be_used_are_named(authority: Authority, own: Identity, tmp_path: Path) -> None:
    nowhere, other = tmp_path / "nowhere.pem", tmp_path / "other.pem"
    other.write_text("nonsense")
    with pytest.raises(InvalidParameterError, match=r"nowhere.pem can't be read: No such file or directory"):
        make_tls(HTTPS, ca=nowhere)
    with pytest.raises(InvalidParameterError, match=r"nowhere.pem can't be read: No such file or directory"):
        make_tls(HTTPS, cert=(own.certificate, nowhere))
    with pytest.raises(InvalidParameterError, match=r"other.pem holds no certificates of authorities: no certificate"):
        make_tls(HTTPS, ca=other)
    with pytest.raises(
        InvalidParameterError, match=r"client.pem can't be shown to servers: its certificate or its key is"
    ):
        make_tls(HTTPS, cert=own.certificate)
    with pytest.raises(
        InvalidParameterError, match=r"client.pem and .*server.key can't be shown to servers: key values mismatch"
    ):
        make_tls(HTTPS, cert=(own.certificate, authority.server.key))
