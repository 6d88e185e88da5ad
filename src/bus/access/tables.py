"""The tables of a token file, each by the letter: what somebody may do, how much of it, and until when.

A key that isn't known, or a pattern that can't be, would otherwise grant less than was meant, or nothing, and nobody
would notice.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import msgspec

from bus.access.limits import Limits
from bus.access.principal import ANONYMOUS, Principal, Proof
from bus.access.rights import Grant, Names, Rights
from bus.access.token import read_hash
from bus.errors import BusError, ConfigError, InvalidSubjectError
from bus.subject import Pattern
from bus.suggest import suggest
from bus.units import SECOND_NS, Rate, parse_rate

_CONSUMER = re.compile(r"[\w*-]{1,128}")
_UNKNOWN_KEY = re.compile(r"Object contains unknown field `(.*?)`(?: - at `\$\.(.*)`)?", re.DOTALL)
_FAULT = re.compile(r"(.*) - at `\$\.?(.*)`", re.DOTALL)

_Count = Annotated[int, msgspec.Meta(ge=0)]


class LimitsTable(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Limits as a table of the file has them."""

    requests: str | None = None
    bytes: str | None = None
    streams: _Count | None = None
    consumers: _Count | None = None

    def limits(self) -> Limits:
        """What they are. Raises `ConfigError` naming the key with what can't be read."""
        return Limits(
            requests=_rate("requests", self.requests),
            bytes=_rate("bytes", self.bytes),
            streams=self.streams,
            consumers=self.consumers,
        )


class RightsTable(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Rights and limits as a table of the file has them."""

    publish: list[str] = []
    subscribe: list[str] = []
    consumers: list[str] = []
    manage: list[str] = []
    reply: bool = False
    metrics: bool = False
    admin: bool = False
    limits: LimitsTable | None = None

    def anonymous(self) -> Principal:
        """Whoever doesn't show who that is. Raises `ConfigError`."""
        return Principal(ANONYMOUS, self.read_rights(), limits=self.read_limits())

    def read_rights(self) -> Rights:
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

    def read_limits(self) -> Limits | None:
        """What they are held to. Raises `ConfigError` naming the key with what can't be read."""
        return self.limits.limits() if self.limits else None


class CertificateTable(RightsTable, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One certificate as its table has it."""

    expires: Annotated[datetime, msgspec.Meta(tz=True)] | None = None

    def principal(self, name: str) -> Principal:
        """Whom it makes known. Raises `ConfigError`."""
        return Principal(name, self.read_rights(), self._expiry(), proof=Proof.CERTIFICATE, limits=self.read_limits())

    def _expiry(self) -> int | None:
        return None if self.expires is None else int(self.expires.astimezone(UTC).timestamp()) * SECOND_NS


class TokenTable(CertificateTable, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One token as its table has it."""

    hash: str

    def principal(self, name: str) -> Principal:
        """Whom it makes known. Raises `ConfigError`."""
        digest = read_hash(self.hash)
        if digest is None:
            raise ConfigError("hash can't be read: it is sha256: and 64 hexadecimal digits, as bus token add writes it")
        return Principal(name, self.read_rights(), self._expiry(), digest, Proof.TOKEN, self.read_limits())


_Table = TypeVar("_Table", bound=msgspec.Struct)


def read_table(table: object, kind: type[_Table]) -> _Table:
    """*table* as a *kind*. Raises `ConfigError` that names the key, and no value: one may be a token by mistake."""
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(_fault(str(error), kind)) from None


def _fault(said: str, kind: type[msgspec.Struct]) -> str:
    if unknown := _UNKNOWN_KEY.fullmatch(said):
        name, where = unknown.groups()
        known = LimitsTable.__struct_fields__ if where else kind.__struct_fields__
        return f"{f'{where}: ' if where else ''}key {name[:80]!a} is not known: {suggest(name, known)}"
    found = _FAULT.fullmatch(said)
    what, where = found.groups() if found else (said, "")
    return f"{where} {what[:1].lower()}{what[1:]}".strip().replace("`", "")


def _rate(key: str, text: str | None) -> Rate | None:
    try:
        return None if text is None else parse_rate(text)
    except BusError as error:
        raise ConfigError(f"limits.{key}: {error}") from None


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
