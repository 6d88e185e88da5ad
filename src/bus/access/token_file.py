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
    limits    = { requests = "500/s", bytes = "5MB/s", streams = 50, consumers = 5 }

    [certs."shop.example.com"]        whoever shows a certificate of this name; the same but for the hash

    [jwt]                             whoever brings a token of this issuer: see `JwtTable`

What somebody is known by has one name, so that a name stands for one principal wherever it is written.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from bus.access.jwt_table import JwtTable
from bus.access.principal import ANONYMOUS, JWT_NAME, Principal, Proof
from bus.access.tables import CertificateTable, RightsTable, TokenTable, read_table
from bus.access.token import digest_of
from bus.errors import ConfigError
from bus.suggest import suggest

LARGEST = 16 << 20
"""Bytes of the largest file that is read."""

TABLES = (ANONYMOUS, "tokens", "certs", "jwt")
"""What a file has."""

LONGEST_NAME = 256
"""Characters of a certificate's name."""

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_TOKEN_NAME = re.compile(r"[\w-]{1,64}")


class Tokens:
    """All that a token file says: whom it knows by tokens and by the names of certificates, and who is neither.

    ``jwt`` says whose JSON web tokens are taken besides.
    """

    def __init__(
        self,
        by_digest: Mapping[bytes, Principal],
        by_certificate: Mapping[str, Principal],
        anonymous: Principal | None,
        jwt: JwtTable | None,
    ) -> None:
        self._by_digest = by_digest
        self.by_certificate = by_certificate
        self.anonymous = anonymous
        self.jwt = jwt

    def find(self, token: bytes) -> Principal | None:
        """Whose *token* is; None if nobody's. It is looked up by its digest, whose time tells nothing of the token."""
        return self._by_digest.get(digest_of(token))

    def certified(self, certificate: str) -> Principal | None:
        """Whose *certificate* of this name is; if nobody's, that of whoever is anonymous."""
        return self.by_certificate.get(certificate, self.anonymous)

    def again(self, principal: Principal) -> Principal | None:
        """Who *principal*, which an older file made known, is by this one; None if nobody any more, or by a JWT."""
        match principal.proof:
            case Proof.TOKEN:
                return self._by_digest.get(principal.digest)
            case Proof.CERTIFICATE:
                return self.certified(principal.name)
            case Proof.JWT:
                return None
            case Proof.NONE:
                return self.anonymous

    def named(self, name: str) -> Principal | None:
        """The principal of this name."""
        return next((found for found in self if found.name == name), None)

    def __iter__(self) -> Iterator[Principal]:
        yield from self._by_digest.values()
        yield from self.by_certificate.values()
        if self.anonymous:
            yield self.anonymous

    def __len__(self) -> int:
        return len(self._by_digest) + len(self.by_certificate)

    def __repr__(self) -> str:
        return f"<Tokens of {', '.join(found.name for found in self)}>"


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
        if name not in TABLES:
            raise ConfigError(f"table {name[:80]!a} is not known: {suggest(name, TABLES)}")
    if not tables:
        raise ConfigError("it is empty, so nobody could do anything: make a token with bus token add")
    tokens = _by_digest(_read_principals("tokens", tables, TokenTable, check_name))
    certificates = _read_principals("certs", tables, CertificateTable, _check_certificate_name)
    for principal in tokens.values():
        if principal.name in certificates:
            raise ConfigError(f"a token and a certificate are both named {principal.name}: give the token another name")
    return Tokens(tokens, certificates, _read_anonymous(tables), _read_jwt(tables))


def _read_anonymous(tables: Mapping[str, object]) -> Principal | None:
    try:
        return read_table(tables[ANONYMOUS], RightsTable).anonymous() if ANONYMOUS in tables else None
    except ConfigError as error:
        raise ConfigError(f"{ANONYMOUS}: {error}") from None


def _read_jwt(tables: Mapping[str, object]) -> JwtTable | None:
    if "jwt" not in tables:
        return None
    try:
        found = read_table(tables["jwt"], JwtTable)
        found.check()
    except ConfigError as error:
        raise ConfigError(f"jwt: {error}") from None
    return found


_Kind = TypeVar("_Kind", TokenTable, CertificateTable)


def _read_principals(
    key: str, tables: Mapping[str, object], kind: type[_Kind], check: Callable[[str], str]
) -> dict[str, Principal]:
    """The principals at *key* by their names, which *check* refuses if they can't be."""
    found = tables.get(key, {})
    if not isinstance(found, dict):
        raise ConfigError(f"{key} is not a table: give each one of its own, like [{key}.billing]")
    return {name: _read_principal(key, check, name, table, kind) for name, table in found.items()}


def _read_principal(key: str, check: Callable[[str], str], name: str, table: object, kind: type[_Kind]) -> Principal:
    try:
        return read_table(table, kind).principal(check(name))
    except ConfigError as error:
        shown = name[:80] if name.isprintable() else ascii(name[:80])
        raise ConfigError(f"{key}.{shown}: {error}") from None


def _by_digest(principals: Mapping[str, Principal]) -> dict[bytes, Principal]:
    found: dict[bytes, Principal] = {}
    for name, principal in principals.items():
        if same := found.get(principal.digest):
            raise ConfigError(f"tokens {same.name} and {name} have the same hash: make each a token of its own")
        found[principal.digest] = principal
    return found


def check_name(name: str) -> str:
    """Return *name* if a token may have it, raise `ConfigError` otherwise."""
    if not _TOKEN_NAME.fullmatch(name):
        raise ConfigError(f"name {name[:80]!a} is malformed: 1 to 64 letters, digits, '_' or '-'")
    return _unless_anonymous(name)


def _check_certificate_name(name: str) -> str:
    if not (name.isprintable() and 0 < len(name) <= LONGEST_NAME):
        raise ConfigError(f"name {name[:80]!a} is malformed: 1 to {LONGEST_NAME} characters that can be seen")
    if name.startswith(JWT_NAME):
        raise ConfigError(f"name {name[:80]!a} is that of somebody with a JWT: those begin with {JWT_NAME}")
    return _unless_anonymous(name)


def _unless_anonymous(name: str) -> str:
    if name == ANONYMOUS:
        raise ConfigError(f"name {ANONYMOUS} is for whoever brings no token: choose another")
    return name
