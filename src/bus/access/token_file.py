"""The token file: who may do what, as TOML.

    [anonymous]                       whoever brings no token; without it nobody may come without
    subscribe = ["public.>"]

    [tokens.billing]
    hash      = "sha256:…"            of the token, which itself is nowhere
    publish   = ["orders.invoice.*"]
    subscribe = ["orders.>"]
    consumers = ["billing", "billing-*"]
    manage    = ["billing", "orders.>"]
    reply     = true
    metrics   = true
    admin     = true
    expires   = 2027-01-01T00:00:00Z

    [jwt]                             also takes the tokens of an issuer: see `JwtTable`

It is read by the letter: a key that isn't one of these, or a pattern that can't be, would otherwise grant less than was
meant, or nothing, and nobody would notice.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from bus.access.jwt_table import JwtTable
from bus.access.principal import ANONYMOUS, Principal
from bus.access.rights import Grant, Names, Rights
from bus.access.token import digest_of, read_hash
from bus.errors import ConfigError, InvalidSubjectError
from bus.subject import Pattern
from bus.suggest import suggest
from bus.units import SECOND_NS

LARGEST = 16 << 20
"""Bytes of the largest file that is read."""

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_TOKEN_NAME = re.compile(r"[\w-]{1,64}")
_CONSUMER = re.compile(r"[\w*-]{1,128}")
_TABLES = (ANONYMOUS, "tokens", "jwt")
_UNKNOWN_KEY = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_FAULT = re.compile(r"(.*) - at `\$\.?(.*)`", re.DOTALL)


class RightsTable(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Rights as a table of the file has them."""

    publish: list[str] = []
    subscribe: list[str] = []
    consumers: list[str] = []
    manage: list[str] = []
    reply: bool = False
    metrics: bool = False
    admin: bool = False

    def rights(self) -> Rights:
        """What they grant. Raises `ConfigError` naming the key with what can't be read."""
        patterns = [text for text in self.manage if "." in text]
        return Rights(
            publish=_grant("publish", self.publish),
            subscribe=_grant("subscribe", self.subscribe),
            consumers=_names("consumers", self.consumers),
            manage=_grant("manage", patterns),
            manage_consumers=_names("manage", [text for text in self.manage if "." not in text]),
            reply=self.reply,
            metrics=self.metrics,
            admin=self.admin,
        )


class TokenTable(RightsTable, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One token as its table has it."""

    hash: str
    expires: Annotated[datetime, msgspec.Meta(tz=True)] | None = None

    def principal(self, name: str) -> Principal:
        """Whom it makes known. Raises `ConfigError`."""
        digest = read_hash(self.hash)
        if digest is None:
            raise ConfigError("hash can't be read: it is sha256: and 64 hexadecimal digits, as bus token add writes it")
        return Principal(name, self.rights(), self._expiry(), digest)

    def _expiry(self) -> int | None:
        return None if self.expires is None else int(self.expires.astimezone(UTC).timestamp()) * SECOND_NS


class Tokens:
    """All that a token file says: the principals that are known, by their tokens, and who comes without.

    ``jwt`` says whose JSON web tokens are taken besides.
    """

    def __init__(
        self, principals: Mapping[bytes, Principal], anonymous: Principal | None, jwt: JwtTable | None = None
    ) -> None:
        self._by_digest = principals
        self.anonymous = anonymous
        self.jwt = jwt

    def find(self, token: bytes) -> Principal | None:
        """Whose *token* is; None if nobody's. It is looked up by its digest, whose time tells nothing of the token."""
        return self._by_digest.get(digest_of(token))

    def again(self, principal: Principal) -> Principal | None:
        """Who *principal*, which an older file made known, is by this one; None if its token isn't known any more."""
        return self._by_digest.get(principal.digest) if principal.digest else self.anonymous

    def named(self, name: str) -> Principal | None:
        """The principal of this name."""
        return next((found for found in self if found.name == name), None)

    def __iter__(self) -> Iterator[Principal]:
        yield from self._by_digest.values()
        if self.anonymous:
            yield self.anonymous

    def __len__(self) -> int:
        return len(self._by_digest)

    def __repr__(self) -> str:
        return f"<Tokens of {', '.join(found.name for found in self._by_digest.values())}>"


def read_token_file(path: Path) -> Tokens:
    """What the file at *path* says.

    Raises `ConfigError` if it can't be read or understood, or if others may write it.
    """
    return parse_tokens(read_text(path), place=str(path))


def read_text(path: Path, *, kind: str = "token file") -> str:
    """The text of a *kind* of file, the very one whose permissions were looked at. Raises `ConfigError`."""
    try:
        with path.open("rb") as file:
            _check_permissions(f"{kind} {path}", os.fstat(file.fileno()))
            return file.read(LARGEST).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or str(error)).lower() if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"{kind} {path} can't be read: {reason}") from None


def _check_permissions(name: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"{name} can't be read: it is not a file")
    if found.st_mode & _OTHERS_MAY_WRITE:
        raise ConfigError(f"{name} may be written by others, who could grant themselves anything: chmod 600")
    if found.st_size >= LARGEST:
        raise ConfigError(f"{name} is larger than {LARGEST} bytes: is it the right one?")


def parse_tokens(text: str, *, place: str) -> Tokens:
    """Read a token file's *text*. Raises `ConfigError` that names *place*, the table and the key."""
    try:
        tables = tomllib.loads(text)
        return _tokens(tables)
    except tomllib.TOMLDecodeError as error:
        fault = str(error)
    except RecursionError:
        fault = "its tables are nested too deep"
    except ConfigError as error:
        fault = error.message
    raise ConfigError(f"token file {place}: {fault}")


def _tokens(tables: dict[str, Any]) -> Tokens:
    for name in tables:
        if name not in _TABLES:
            raise ConfigError(f"table {name[:80]!a} is not known: {suggest(name, _TABLES)}")
    if not tables:
        raise ConfigError("it is empty, so nobody could do anything: make a token with bus token add")
    anonymous = _read_anonymous(tables[ANONYMOUS]) if ANONYMOUS in tables else None
    jwt = _read_jwt(tables["jwt"]) if "jwt" in tables else None
    return Tokens(_read_principals(tables.get("tokens", {})), anonymous, jwt)


def _read_anonymous(table: object) -> Principal:
    try:
        return Principal(ANONYMOUS, read_table(table, RightsTable).rights())
    except ConfigError as error:
        raise ConfigError(f"{ANONYMOUS}: {error}") from None


def _read_jwt(table: object) -> JwtTable:
    try:
        found = read_table(table, JwtTable)
        found.check()
    except ConfigError as error:
        raise ConfigError(f"jwt: {error}") from None
    return found


def _read_principals(tables: object) -> dict[bytes, Principal]:
    if not isinstance(tables, dict):
        raise ConfigError("tokens is not a table: give each token one, like [tokens.billing]")
    found: dict[bytes, Principal] = {}
    for name, table in tables.items():
        principal = _read_principal(name, table)
        if same := found.get(principal.digest):
            raise ConfigError(f"tokens {same.name} and {name} have the same hash: make each a token of its own")
        found[principal.digest] = principal
    return found


def _read_principal(name: str, table: object) -> Principal:
    try:
        return read_table(table, TokenTable).principal(check_name(name))
    except ConfigError as error:
        raise ConfigError(f"tokens.{name[:80]}: {error}") from None


def check_name(name: str) -> str:
    """Return *name* if a token may have it, raise `ConfigError` otherwise."""
    if not _TOKEN_NAME.fullmatch(name):
        raise ConfigError(f"name {name[:80]!a} is malformed: 1 to 64 letters, digits, '_' or '-'")
    if name == ANONYMOUS:
        raise ConfigError(f"name {ANONYMOUS} is for whoever brings no token: choose another")
    return name


_Table = TypeVar("_Table", bound=msgspec.Struct)


def read_table(table: object, kind: type[_Table]) -> _Table:
    """*table* as a *kind*. Raises `ConfigError` that names the key, and no value: one may be a token by mistake."""
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(_fault(str(error), kind)) from None


def _fault(said: str, kind: type[msgspec.Struct]) -> str:
    if unknown := _UNKNOWN_KEY.fullmatch(said):
        name = unknown[1]
        return f"key {name[:80]!a} is not known: {suggest(name, kind.__struct_fields__)}"
    found = _FAULT.fullmatch(said)
    what, where = found.groups() if found else (said, "")
    return f"{where} {what[:1].lower()}{what[1:]}".strip().replace("`", "")


def _grant(key: str, texts: list[str]) -> Grant:
    for text in texts:
        try:
            Pattern.parse(text)
        except InvalidSubjectError as error:
            raise ConfigError(f"{key}: {error}") from None
    return Grant.of(texts)


def _names(key: str, texts: list[str]) -> Names:
    for text in texts:
        if not _CONSUMER.fullmatch(text):
            raise ConfigError(f"{key}: {text[:80]!a} is no consumer's name: letters, digits, '_', '-', and * for any")
    return Names(tuple(texts))
