"""The values of settings, and how they are written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from bus.errors import BusError, ConfigError
from bus.namespace import EVERYTHING, Compact, Keep, Storage
from bus.subject import check_namespaces
from bus.units import parse_duration, parse_size, parse_whole

DEFAULT_PORT = 2021

EMBEDDED = "embedded"
"""The engine that stores by itself."""

_T = TypeVar("_T")


class Fsync(StrEnum):
    """When the log is brought to disk: before each answer, at intervals, or when the system likes."""

    ALWAYS = "always"
    INTERVAL = "interval"
    NEVER = "never"


class LogLevel(StrEnum):
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


class LogFormat(StrEnum):
    """What a line of the log is: text for people, or JSON for programs."""

    TEXT = "text"
    JSON = "json"


class Secret(str):
    """Text that doesn't show itself in logs and tracebacks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret(***)"


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; an empty host is every interface."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``:2021``, ``host:2021`` or ``[::1]:2021``. Raises `ConfigError`."""
        host, colon, port = text.rpartition(":")
        try:
            number = parse_whole(port, what="port", most=65535)
        except BusError:
            number = None
        if not colon or number is None:
            raise ConfigError(f"address {text!r} can't be read: write it like :2021 or 127.0.0.1:2021")
        return cls(host.strip("[]"), number)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_choice(kind: type[StrEnum], text: str) -> StrEnum:
    """The member of *kind* that *text* names in any case. Raises `ConfigError` listing the members."""
    for member in kind:
        if member.value.lower() == text.lower():
            return member
    raise ConfigError(f"{text!r} is not among {', '.join(kind)}")


def parse_count(text: str) -> int:
    """A whole number, zero or more. Raises `ConfigError`."""
    try:
        return parse_whole(text, what="number")
    except BusError:
        raise ConfigError(f"{text[:80]!r} is not a whole number") from None


def parse_flag(text: str) -> bool:
    """``true`` or ``false``. Raises `ConfigError`."""
    try:
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]
    except KeyError:
        raise ConfigError(f"{text!r} is not true or false") from None


def parse_engine(text: str) -> str:
    """``embedded``, or the URL of another engine. Raises `ConfigError`."""
    if text != EMBEDDED and not text.startswith(("nats://", "tls://")):
        raise ConfigError("can't be read: it is embedded, or like nats://a:4222,b:4222,c:4222/prefix")
    return text


def parse_path(text: str) -> Path | None:
    """A path; nothing is none."""
    return Path(text) if text else None


def parse_block_size(text: str) -> int:
    """The plaintext size of an encrypted block, in bytes. Raises `ConfigError` out of 256 bytes to 1 MiB."""
    size = parse_size(text)
    if not 256 <= size <= 1 << 20:
        raise ConfigError(f"{text!r} is out of range: an encrypted block holds 256 bytes to 1 MiB")
    return size


def parse_namespaces(text: str) -> dict[str, Storage]:
    """Read ``app,live:memory``: where each namespace is, in the order they are declared; none if there is no text.

    Raises `ConfigError`.
    """
    found: dict[str, Storage] = {}
    for part in split_list(text):
        name, _, where = part.partition(":")
        storage = Storage(parse_choice(Storage, where)) if where else Storage.DISK
        if found.setdefault(name, storage) is not storage:
            raise ConfigError(f"namespace {name!a} is declared on disk and in memory: choose one")
    if found:
        check_namespaces(found)
    return found


def parse_retention(text: str) -> dict[str, Keep]:
    """Read ``app=7d,10GB orders=1000000``: per namespace, or ``*`` for the others, an age, a size, a count.

    Raises `ConfigError` naming the part that can't be read.
    """
    return _once_each("retention", map(_parse_keep, text.split()))


def _parse_keep(text: str) -> tuple[str, Keep]:
    name, _, limits = text.partition("=")
    if not name or not limits:
        raise ConfigError(f"retention {text!r} can't be read: write it like app=7d,10GB or *=1000000")
    return name, parse_keep(limits)


def parse_keep(text: str) -> Keep:
    """Read ``7d,10GB,1000000`` or ``everything``: an age, a size, a number of events. Raises `ConfigError`."""
    found: dict[str, Any] = {}
    for limit in split_list("" if text == EVERYTHING else text):
        more = _parse_limit(limit)
        if found.keys() & more:
            raise ConfigError(
                f"retention {text!r} has two limits of a kind: give one age, one size, one number of events"
            )
        found |= more
    return Keep(**found)


def _parse_limit(text: str) -> dict[str, Any]:
    """One limit; a bare number counts events, a number with a unit is a size or an age."""
    if text.isdecimal():
        return {"events": parse_count(text)}
    for name, read in (("age", parse_duration), ("size", parse_size)):
        try:
            return {name: read(text)}
        except BusError:
            continue
    raise ConfigError(f"retention {text!r} can't be read: an age like 7d, a size like 10GB, or a number of events")


def parse_quotas(text: str) -> dict[str, int]:
    """Read ``orders=10GB *=1GB``: how many bytes each namespace may have, ``*`` for the others.

    Raises `ConfigError` naming the part that can't be read.
    """
    return _once_each("quota", map(_parse_quota, text.split()))


def _parse_quota(text: str) -> tuple[str, int]:
    name, _, size = text.partition("=")
    try:
        most = parse_size(size)
    except BusError:
        most = 0
    if not name or not most:
        raise ConfigError(f"quota {text!r} can't be read: write it like orders=10GB or *=1GB")
    return name, most


def parse_compact(text: str) -> dict[str, Compact]:
    """Read ``orders=subject,state=key``: by what each namespace is compacted, ``*`` for the others.

    Raises `ConfigError` naming the part that can't be read.
    """
    return _once_each("compaction", map(_parse_compact, split_list(text)))


def _once_each(what: str, given: Iterable[tuple[str, _T]]) -> dict[str, _T]:
    """What is given for each namespace. Raises `ConfigError` if one of them is named twice."""
    found: dict[str, _T] = {}
    for name, value in given:
        if name in found:
            raise ConfigError(f"{what} of namespace {name!a} is given twice: give it once")
        found[name] = value
    return found


def _parse_compact(text: str) -> tuple[str, Compact]:
    name, _, by = text.partition("=")
    if not name or by not in [*Compact]:
        raise ConfigError(f"{text!r} can't be read: write it like orders=subject,state=key")
    return name, Compact(by)


def split_list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def read_secret(given: Secret, file: Path | None) -> Secret:
    """The secret that is *given*, or what *file* holds up to its final line break.

    Raises `ConfigError` when both are given, or the file can't be read or is empty.
    """
    if file is None:
        return given
    if given:
        raise ConfigError("a secret key and a secret key file are both given: give one of them")
    try:
        secret = Secret(file.read_text().rstrip("\r\n"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"secret key file {file} can't be read: {error}") from None
    if not secret:
        raise ConfigError(f"secret key file {file} is empty: put the secret on its first line")
    return secret
