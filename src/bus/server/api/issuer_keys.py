"""Where the keys of an issuer come from: a file that is watched, or an address that is asked now and then.

file     changed? ────────────────────────────┐
                                              ├─▶ read ─┬─▶ in force
address  time? a key that isn't known? ─▶ fetch ─┘      └─▶ can't be: those from before stay, and the log says so
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from bus.access.jwt_table import JwtTable
from bus.access.key_set import KeySet
from bus.access.token_file import read_text
from bus.errors import BusError, ConfigError, UnauthorizedError, UnavailableError
from bus.server.download import Download
from bus.server.http.rate_limit import RateLimit
from bus.server.watched_files import WatchedFiles
from bus.units import Rate

log = logging.getLogger("bus.server")

FRESH_SECONDS = 300.0
"""How long the keys of an address count before they are fetched again."""

RETRY_SECONDS = 30.0
"""How long after a failure they are fetched again."""

UNKNOWN_KEYS = Rate(5, 60.0)
"""How often they are fetched because somebody names a key that isn't known, and be it made up."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

Changed = Callable[[KeySet], None]


class IssuerKeys(Protocol):
    """Keeps the keys of an issuer, and tells when they are others."""

    def begin(self) -> KeySet:
        """The keys there are at first, none if they have yet to come. Raises `ConfigError`."""

    def look(self) -> None:
        """Get them again if it is time to."""

    def read(self) -> None:
        """Get them again."""

    def unknown(self) -> BusError:
        """The error for somebody whose JWT names a key that isn't among them."""


class KeyFile:
    """The keys in the file at *path*."""

    def __init__(self, table: JwtTable, path: Path, changed: Changed) -> None:
        self._table = table
        self._path = path
        self._changed = changed
        self._files = WatchedFiles(path)

    def begin(self) -> KeySet:
        return self._parse()

    def look(self) -> None:
        if self._files.have_changed():
            self.read()

    def read(self) -> None:
        try:
            keys = self._parse()
        except ConfigError as error:
            log.error("%s; the keys from before stay in force", error.message)
        else:
            self._changed(keys)

    def _parse(self) -> KeySet:
        text = read_text(self._path, kind="key set")
        return _parse(text, self._table, str(self._path))

    def unknown(self) -> BusError:
        return _unknown_key()

    def __repr__(self) -> str:
        return f"<KeyFile {self._path}>"


class KeyAddress:
    """The keys at the address of *table*, which needn't answer yet."""

    def __init__(self, table: JwtTable, changed: Changed, loop: asyncio.AbstractEventLoop) -> None:
        self._table = table
        self._changed = changed
        self._download = Download(table.address, self._take, loop)
        self._have_come = False
        self._asked_for = RateLimit(UNKNOWN_KEYS)

    def begin(self) -> KeySet:
        _warn_if_open(self._table.address)
        self.read()
        return KeySet()

    def look(self) -> None:
        if time.monotonic() >= self._due:
            self.read()

    def read(self) -> None:
        self._due = time.monotonic() + FRESH_SECONDS
        self._download.start()

    def _take(self, found: bytes | BusError) -> None:
        try:
            if isinstance(found, BusError):
                raise found
            keys = _parse(found, self._table, self._table.address)
        except BusError as error:
            self._due = time.monotonic() + RETRY_SECONDS
            until = "the keys from before stay in force" if self._have_come else "no JWT is taken until they are here"
            log.error("%s; %s", error.message, until)
        else:
            self._have_come = True
            self._changed(keys)

    def unknown(self) -> BusError:
        """It may be a new one, so they are fetched, though not as often as somebody makes one up."""
        now = time.monotonic()
        if not self._download.under_way and not self._asked_for.wait("", now=now):
            self._asked_for.charge("", 1, now=now)
            self.read()
        if self._download.under_way or not self._have_come:
            return UnavailableError(f"the keys of {self._table.issuer} are being fetched: try again")
        return _unknown_key()

    def __repr__(self) -> str:
        return f"<KeyAddress {self._table.address}>"


def _unknown_key() -> BusError:
    return UnauthorizedError("the JWT's key is not known here: it was taken out, or is of another issuer")


def _parse(text: str | bytes, table: JwtTable, place: str) -> KeySet:
    try:
        return KeySet.parse(text, table.algorithms)
    except ConfigError as error:
        raise ConfigError(f"key set {place} {error}") from None


def _warn_if_open(address: str) -> None:
    parts = urlsplit(address)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        log.warning("the keys at %s come in the clear: who stands between may grant themselves anything", address)
