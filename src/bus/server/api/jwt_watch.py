"""Watching an issuer: its JWTs are checked by its keys as they are now."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from bus.access.jwt_table import JwtTable
from bus.access.jwt_verifier import JwtPrincipal, JwtVerifier
from bus.access.key_set import KeySet
from bus.access.principal import Principal
from bus.server.api.issuer_keys import IssuerKeys, KeyAddress, KeyFile

log = logging.getLogger("bus.server")


class JwtWatch:
    """Knows principals by the JWTs that *table* takes; calls *changed* when the issuer's keys are others.

    Making it raises `ConfigError` if the keys are in a file, beside *token_file*, that can't be read.
    """

    def __init__(
        self, table: JwtTable, token_file: Path, changed: Callable[[], None], loop: asyncio.AbstractEventLoop
    ) -> None:
        self.table = table
        self._changed = changed
        self._keys: IssuerKeys = (
            KeyAddress(table, self._take, loop) if table.address else KeyFile(table, table.file(token_file), self._take)
        )
        self._verifier = JwtVerifier(table, self._keys.begin())

    def look(self) -> None:
        """Get the keys again if it is time to."""
        self._keys.look()

    def read(self) -> None:
        """Get the keys again."""
        self._keys.read()

    def _take(self, keys: KeySet) -> None:
        """Check by *keys* from now on; what was found good by the old ones is checked again."""
        if keys == self._verifier.keys:
            return
        self._verifier = JwtVerifier(self.table, keys)
        log.info("%d keys of %s are in force, %d others are left out", len(keys), self.table.issuer, keys.left_out)
        self._changed()

    def find(self, token: bytes, *, now: int) -> Principal:
        """Whose *token* is at *now* (ns). Raises `UnauthorizedError`, or `UnavailableError` while keys are fetched."""
        found = self._verifier.find(token, now=now)
        if found is None:
            raise self._keys.unknown()
        return found

    def again(self, principal: Principal) -> Principal | None:
        """*principal*, or None if its JWT wouldn't be taken any more."""
        return self._verifier.again(principal) if isinstance(principal, JwtPrincipal) else None

    def __repr__(self) -> str:
        return f"<JwtWatch of {self.table.issuer}>"
