"""Watching the token file, and the keys it names: what they say counts from when they have changed, or on SIGHUP.

changed? ─▶ read ─┬─▶ in force, open streams are judged again
                  └─▶ can't be: what was in force stays so, and the log says why
"""

from __future__ import annotations

import asyncio
import logging
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bus.access.jwt_table import JwtTable
from bus.access.sessions import Sessions
from bus.access.token_file import Tokens, read_token_file
from bus.config import ServerSettings
from bus.errors import ConfigError
from bus.server.api.authentication import TokenAuthenticator
from bus.server.watched_files import WatchedFiles

if TYPE_CHECKING:
    from bus.server.api.jwt_watch import JwtWatch

log = logging.getLogger("bus.server")


class TokenWatch:
    """Keeps its ``authenticator`` at what the file at *path* says; calls *changed* whenever that is something else.

    *sessions* opens those of web pages; *certificates_asked* says that clients are asked for certificates.

    Raises `ConfigError` if the file can't be read at first, or the keys that it names.
    """

    def __init__(
        self,
        path: Path,
        changed: Callable[[], None],
        loop: asyncio.AbstractEventLoop,
        *,
        sessions: Sessions,
        certificates_asked: bool,
    ) -> None:
        self._certificates_asked = certificates_asked
        self._path = path
        self._changed = changed
        self._loop = loop
        self._files = WatchedFiles(path)
        tokens = read_token_file(path)
        self._jwts = self._watch_issuer(tokens.jwt) if tokens.jwt else None
        self.authenticator = TokenAuthenticator(tokens, self._jwts, sessions=sessions)
        _warn_if_readable(path)
        self._warn_of_certificates(tokens)

    @classmethod
    def of(
        cls,
        settings: ServerSettings,
        changed: Callable[[], None],
        loop: asyncio.AbstractEventLoop,
        *,
        sessions: Sessions,
    ) -> TokenWatch | None:
        """That of the file which *settings* name, None if they name none. Raises `ConfigError`."""
        if settings.auth is None:
            return None
        asked = settings.tls_client_ca is not None
        return cls(settings.auth, changed, loop, sessions=sessions, certificates_asked=asked)

    def look(self) -> None:
        """Read the file again if it is another than it was."""
        if self._files.have_changed():
            self._read_file()
        if self._jwts:
            self._jwts.look()

    def read(self) -> None:
        """Read the file again, and have it count if it can be read; get the keys of JWTs again."""
        self._read_file()
        if self._jwts:
            self._jwts.read()

    def _read_file(self) -> None:
        try:
            tokens = read_token_file(self._path)
            self._jwts = self._jwts_of(tokens)
        except ConfigError as error:
            log.error("%s; the rights from before stay in force", error.message)
            return
        log.info("token file %s is in force: %d tokens", self._path, len(tokens))
        self._warn_of_certificates(tokens)
        self._trust(tokens)

    def _warn_of_certificates(self, tokens: Tokens) -> None:
        if tokens.by_certificate and not self._certificates_asked:
            log.warning(
                "token file %s names certificates, and no client is asked for one: --tls-client-ca says whose count",
                self._path,
            )

    def _jwts_of(self, tokens: Tokens) -> JwtWatch | None:
        """Who knows by JWTs as *tokens* says; the same as before if it says the same. Raises `ConfigError`."""
        if self._jwts and tokens.jwt == self._jwts.table:
            return self._jwts
        return self._watch_issuer(tokens.jwt) if tokens.jwt else None

    def _watch_issuer(self, table: JwtTable) -> JwtWatch:
        try:
            from bus.server.api.jwt_watch import JwtWatch  # most servers take no JWTs, and have nothing to check them
        except ImportError:
            fault = "jwt: what checks JWTs is not installed: pip install 'busd[jwt]'"
            raise ConfigError(f"token file {self._path}: {fault}") from None
        return JwtWatch(table, self._path, lambda: self._trust(self.authenticator.tokens), self._loop)

    def _trust(self, tokens: Tokens) -> None:
        """Have *tokens* and the keys there are count, also for open streams."""
        self.authenticator.trust(tokens, self._jwts)
        self._changed()

    def __repr__(self) -> str:
        return f"<TokenWatch of {self._path}>"


def _warn_if_readable(path: Path) -> None:
    """Nobody gets a token from a hash, but names and rights may be nobody's business."""
    if path.stat().st_mode & stat.S_IROTH:
        log.warning("token file %s may be read by others, who see names and rights: chmod 600 keeps them private", path)
