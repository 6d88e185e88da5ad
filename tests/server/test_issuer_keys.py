"""The keys of an issuer that has an address: they are fetched again, and kept if they can't be."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from functools import partial

import pytest

from bus.access.jwt_table import JwtTable
from bus.access.key_set import KeySet
from bus.errors import UnauthorizedError, UnavailableError
from bus.server.api import issuer_keys
from bus.server.api.issuer_keys import KeyAddress
from tests.issuer import AUDIENCE, NAME, key_set, signing_key
from tests.key_server import KeyServer, key_server

OLD, NEW = signing_key("old"), signing_key("new")


@pytest.fixture
def issuer() -> Iterator[KeyServer]:
    with key_server(key_set(OLD)) as found:
        yield found


class Fetched:
    """What has come from an issuer, the newest last."""

    def __init__(self, issuer: KeyServer) -> None:
        self._come: asyncio.Queue[KeySet] = asyncio.Queue()
        table = JwtTable(NAME, AUDIENCE, issuer.url)
        self.keys = KeyAddress(table, self._come.put_nowait, asyncio.get_running_loop())

    async def next(self) -> list[str]:
        """The names of the keys that come next."""
        return [key.kid for key in (await self._come.get()).keys]


def test_they_are_fetched_again_when_they_are_old(issuer: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        fetched = Fetched(issuer)
        assert not fetched.keys.begin().keys
        assert await fetched.next() == ["old"]
        fetched.keys.look()
        monkeypatch.setattr(issuer_keys, "FRESH_SECONDS", 0.0)
        fetched.keys.read()
        await fetched.next()
        issuer.body = key_set(NEW)
        fetched.keys.look()
        assert await fetched.next() == ["new"]

    asyncio.run(run())
    assert issuer.asked == 3


def _note(told: asyncio.Event, line: logging.LogRecord) -> bool:
    told.set()
    return True


@pytest.mark.parametrize(
    "fault", ["<html>", '{"keys": []}', key_set(OLD.jwk | {"d": "c2VjcmV0"})], ids=["text", "none", "private"]
)
def test_those_from_before_stay_when_what_comes_is_none(
    issuer: KeyServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    monkeypatch.setattr(issuer_keys, "RETRY_SECONDS", 0.0)

    async def run() -> None:
        fetched, told = Fetched(issuer), asyncio.Event()
        caplog.handler.addFilter(partial(_note, told))
        fetched.keys.begin()
        await fetched.next()
        issuer.body = fault
        fetched.keys.read()
        await told.wait()
        issuer.body = key_set(NEW)
        fetched.keys.look()
        assert await fetched.next() == ["new"]

    asyncio.run(run())
    (line,) = caplog.messages
    assert line.startswith(f"key set {issuer.url} ") and line.endswith("; the keys from before stay in force")
    assert "c2VjcmV0" not in line


def test_who_makes_up_keys_has_them_fetched_a_few_times(issuer: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        fetched = Fetched(issuer)
        fetched.keys.begin()
        assert isinstance(fetched.keys.unknown(), UnavailableError), "they are on their way"
        await fetched.next()
        for _ in range(issuer_keys.UNKNOWN_KEYS.amount):
            assert isinstance(fetched.keys.unknown(), UnavailableError)
            await fetched.next()
        assert isinstance(fetched.keys.unknown(), UnauthorizedError)

    asyncio.run(run())
    assert issuer.asked == 1 + issuer_keys.UNKNOWN_KEYS.amount


def test_an_address_in_the_clear_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        for address in ("http://id.invalid/keys", "http://localhost:1/keys", "https://id.invalid/keys"):
            KeyAddress(JwtTable(NAME, AUDIENCE, address), print, asyncio.get_running_loop()).begin()

    asyncio.run(run())
    (line,) = [line for line in caplog.messages if "in the clear" in line]
    assert "http://id.invalid/keys" in line
