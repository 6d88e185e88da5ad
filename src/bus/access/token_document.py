"""The token file as it is edited: what people wrote in it stays as it is, comments and all.

read ─▶ add, remove ─▶ checked as the server would ─▶ a new file in the place of the old one, at once
"""

from __future__ import annotations

import os
import stat
from collections.abc import MutableMapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import msgspec
import tomlkit
from tomlkit.exceptions import TOMLKitError

from bus.access.tables import TokenTable
from bus.access.token_file import Tokens, check_name, parse_tokens, read_text
from bus.errors import ConfigError

PRIVATE = 0o600

KINDS = ("tokens", "certs")
"""The tables that have one for each name."""


class TokenDocument:
    """The token file at *path*, to be made if there is none.

    Raises `ConfigError` if it can't be read or understood, or if others may write it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()
        text = read_text(self._path) if self._path.exists() else "[tokens]\n"
        self.tokens = parse_tokens(text, place=str(path))
        self._document = _parse(text, path)

    def add(self, name: str, table: TokenTable) -> Tokens:
        """Write a token of this *name*, and return what the file says then. Raises `ConfigError`."""
        if self.tokens.named(check_name(name)):
            raise ConfigError(f"token {name} is in {self._path} already: choose another name, or revoke it first")
        tables = self._document.setdefault("tokens", tomlkit.table(is_super_table=True))
        tables[name] = tomlkit.item({"hash": table.hash, **msgspec.to_builtins(table, builtin_types=(datetime,))})
        return self._write()

    def remove(self, name: str) -> Tokens:
        """Take a token or a certificate out, and return what the file says then.

        Raises `ConfigError` if there is none of this name.
        """
        kind = next((kind for kind in KINDS if name in self._document.get(kind, {})), None)
        if kind is None:
            raise ConfigError(f"{name[:80]!a} is not in {self._path}: see bus token list")
        tables = cast(MutableMapping[str, Any], self._document[kind])
        del tables[name]
        if not tables:
            self._document[kind] = tomlkit.table()
        return self._write()

    def tables(self, kind: str) -> dict[str, Any]:
        """Each table of a *kind*, ``tokens`` or ``certs``, by name."""
        return dict(self._document.unwrap().get(kind, {}))

    def _write(self) -> Tokens:
        """Put the new text in the place of the old one, if a server can read it."""
        text = tomlkit.dumps(self._document)
        self.tokens = parse_tokens(text, place=str(self._path))
        new = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            _write_private(new, text, like=self._path)
            new.replace(self._path)
        except OSError as error:
            new.unlink(missing_ok=True)
            reason = (error.strerror or str(error)).lower()
            raise ConfigError(f"token file {self._path} can't be written: {reason}") from None
        return self.tokens

    def __repr__(self) -> str:
        return f"<TokenDocument {self._path}>"


def _parse(text: str, path: Path) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text)
    except TOMLKitError as error:
        raise ConfigError(f"token file {path} can't be edited: {error}") from None


def _write_private(new: Path, text: str, *, like: Path) -> None:
    """Write *new* to the disk, for the same people as *like* if there is that, else for its owner alone."""
    number = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    with os.fdopen(number, "w", encoding="utf-8") as file:
        with suppress(FileNotFoundError):
            old = like.stat()
            os.fchown(number, old.st_uid, old.st_gid)
            os.fchmod(number, stat.S_IMODE(old.st_mode))
        file.write(text)
        file.flush()
        os.fsync(number)
