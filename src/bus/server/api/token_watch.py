"""Watching the token file: what it says counts from when it has changed, or when SIGHUP says so.

changed? ─▶ read ─┬─▶ in force, open streams are judged again
                  └─▶ can't be: what was in force stays so, and the log says why
"""

from __future__ import annotations

import logging
import stat
from collections.abc import Callable
from pathlib import Path

from bus.access.token_file import read_token_file
from bus.errors import ConfigError
from bus.server.api.authentication import TokenAuthenticator
from bus.server.watched_files import WatchedFiles

log = logging.getLogger("bus.server")


class TokenWatch:
    """Keeps its ``authenticator`` at what the file at *path* says; calls *changed* whenever that is something else.

    Raises `ConfigError` if the file can't be read at first.
    """

    def __init__(self, path: Path, changed: Callable[[], None]) -> None:
        self._path = path
        self._changed = changed
        self._files = WatchedFiles(path)
        self.authenticator = TokenAuthenticator(read_token_file(path))
        _warn_if_readable(path)

    def look(self) -> None:
        """Read the file again if it is another than it was."""
        if self._files.have_changed():
            self.read()

    def read(self) -> None:
        """Read the file again, and have it count if it can be read."""
        try:
            tokens = read_token_file(self._path)
        except ConfigError as error:
            log.error("%s; the rights from before stay in force", error.message)
            return
        self.authenticator.tokens = tokens
        log.info("token file %s is in force: %d tokens", self._path, len(tokens))
        self._changed()

    def __repr__(self) -> str:
        return f"<TokenWatch of {self._path}>"


def _warn_if_readable(path: Path) -> None:
    """Nobody gets a token from a hash, but names and rights may be nobody's business."""
    if path.stat().st_mode & stat.S_IROTH:
        log.warning("token file %s may be read by others, who see names and rights: chmod 600 keeps them private", path)
