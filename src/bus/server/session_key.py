"""The key that seals sessions: a file of the data directory, made when it is first needed."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from bus.errors import ConfigError
from bus.storage.regular_files import UnfitFileError, open_regular

KEY_BYTES = 32


def read_session_key(path: Path | None) -> bytes:
    """The key in the file *path*, which is made if it isn't there; None is for a key that ends with the server.

    Raises `ConfigError` if the file can't be read or made, or is something else.
    """
    if path is None:
        return secrets.token_bytes(KEY_BYTES)
    try:
        with suppress(FileExistsError):
            _make(path)
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            key = file.read(KEY_BYTES + 1)
    except UnfitFileError as error:
        raise ConfigError(str(error)) from None
    except OSError as error:
        raise ConfigError(f"{path}, the key of sessions, can't be read: {error.strerror}") from None
    if len(key) != KEY_BYTES:
        raise ConfigError(f"{path} is not the key of sessions: remove it, and everybody signs in again")
    return key


def _make(path: Path) -> None:
    """Whole or not at all, under its name only when it is on the disk."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(new, path)
    finally:
        new.unlink()
