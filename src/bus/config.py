"""What a server can be told, by a flag or by an environment variable; a flag wins.

Each field of `Settings` carries how it is written and what it means, so that the command line, the
environment and the documentation all come from this one table.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from bus.errors import BusError, ConfigError
from bus.subject import check_namespaces
from bus.units import parse_duration, parse_size, parse_whole

DEFAULT_PORT = 2021


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


def parse_block_size(text: str) -> int:
    """The plaintext size of a sealed block, in bytes. Raises `ConfigError` out of 256 bytes to 1 MiB."""
    size = parse_size(text)
    if not 256 <= size <= 1 << 20:
        raise ConfigError(f"{text!r} is out of range: a sealed block holds 256 bytes to 1 MiB")
    return size


@dataclass(frozen=True, slots=True)
class Keep:
    """How much of a namespace to keep: seconds, bytes and events, None for no limit."""

    age: float | None = None
    size: int | None = None
    events: int | None = None


def parse_retention(text: str) -> dict[str, Keep]:
    """Read ``app=7d,10GB orders=1000000``: per namespace, or ``*`` for the others, an age, a size, a count.

    Raises `ConfigError` naming the part that can't be read.
    """
    return dict(map(_parse_keep, text.split()))


def _parse_keep(text: str) -> tuple[str, Keep]:
    name, _, limits = text.partition("=")
    if not name or not limits:
        raise ConfigError(f"retention {text!r} can't be read: write it like app=7d,10GB or *=1000000")
    found: dict[str, Any] = {}
    for limit in split_list(limits):
        found |= _parse_limit(limit)
    return name, Keep(**found)


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


def split_list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _option(read: Callable[[str], Any], variable: str, default: str, help: str, *, shown: str = "") -> Any:
    """A field whose value is written as text; *shown* replaces the default in help texts."""
    about = {"read": read, "variable": variable, "default": default, "help": help, "shown": shown or default}
    return field(metadata=about)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a server can be told."""

    addr: Address = _option(Address.parse, "BUS_ADDR", f":{DEFAULT_PORT}", "Address to listen on.")
    path: Path = _option(Path, "BUS_PATH", "./data", "Directory the events are stored in.")
    namespaces: tuple[str, ...] = _option(
        lambda text: check_namespaces(split_list(text)),
        "BUS_NAMESPACES",
        "",
        "Namespaces to serve, separated by commas.",
        shown="required",
    )
    secret_key: Secret = _option(Secret, "BUS_SECRET_KEY", "", "Secret that seals the log.", shown="not sealed")
    secret_key_file: Path | None = _option(
        lambda text: Path(text) if text else None,
        "BUS_SECRET_KEY_FILE",
        "",
        "File that holds the secret.",
        shown="none",
    )
    block_size: int = _option(parse_block_size, "BUS_BLOCK_SIZE", "4096", "Plaintext bytes a sealed block holds.")
    log_level: LogLevel = _option(
        lambda text: parse_choice(LogLevel, text), "BUS_LOG_LEVEL", "INFO", "DEBUG, INFO, WARN or ERROR."
    )
    fsync: Fsync = _option(
        lambda text: parse_choice(Fsync, text),
        "BUS_FSYNC",
        "always",
        "When events reach the disk: always (before each answer), interval or never.",
    )
    fsync_interval: float = _option(
        parse_duration, "BUS_FSYNC_INTERVAL", "1s", "Time between syncs under --fsync interval."
    )
    segment_size: int = _option(parse_size, "BUS_SEGMENT_SIZE", "64MiB", "Size at which a new segment is begun.")
    retention: dict[str, Keep] = _option(
        parse_retention,
        "BUS_RETENTION",
        "",
        "What to keep, like 'app=7d,10GB *=1000000': ages, sizes or numbers of events, whole segments at a time.",
        shown="everything",
    )
    retention_force: bool = _option(
        parse_flag,
        "BUS_RETENTION_FORCE",
        "false",
        "Let go also of events that a durable consumer has yet to settle.",
    )
    dup_size: int = _option(
        parse_count,
        "BUS_DUP_SIZE",
        "1000",
        "Keys a namespace remembers to refuse duplicates, and those of the last minute; 0: none.",
    )
    dup_ttl: float | None = _option(
        lambda text: parse_duration(text) if text else None,
        "BUS_DUP_TTL",
        "",
        "Time a key is remembered.",
        shown="no limit",
    )
    max_body: int = _option(parse_size, "BUS_MAX_BODY", "4MiB", "Largest body of a publish; NDJSON: largest line.")
    max_body_memory: int = _option(
        parse_size, "BUS_MAX_BODY_MEMORY", "256MiB", "Bodies that are coming in, and receipts not taken, all together."
    )
    max_connections: int = _option(parse_count, "BUS_MAX_CONNECTIONS", "20000", "Connections held at once.")
    max_connections_per_address: int = _option(
        parse_count,
        "BUS_MAX_CONNECTIONS_PER_ADDRESS",
        "0",
        "Connections held at once for one client's address; 0 is no limit.",
    )
    max_consumers: int = _option(
        parse_count, "BUS_MAX_CONSUMERS", "1000", "Durable consumers kept; a new one beyond them is refused."
    )
    cors_origins: tuple[str, ...] = _option(
        split_list, "BUS_CORS_ORIGINS", "*", "Web origins that may use the server, separated by commas."
    )
    heartbeat: float = _option(parse_duration, "BUS_HEARTBEAT", "15s", "Time between heartbeats on a silent stream.")
    drain: float = _option(parse_duration, "BUS_DRAIN", "10s", "Time a stopping server gives to open requests.")

    @classmethod
    def read(cls, flags: Mapping[str, str | None], environ: Mapping[str, str]) -> Settings:
        """Take each setting from *flags* (by field name), else *environ*, else its default.

        Raises `ConfigError` naming the flag or variable whose value can't be read.
        """
        values = {option.name: _read_option(option, flags, environ) for option in dataclasses.fields(cls)}
        values["secret_key"] = read_secret(values["secret_key"], values["secret_key_file"])
        return cls(**values)


def _read_option(option: dataclasses.Field[Any], flags: Mapping[str, str | None], environ: Mapping[str, str]) -> Any:
    about = option.metadata
    flag = flags.get(option.name)
    source = f"--{option.name.replace('_', '-')}" if flag is not None else about["variable"]
    text = flag if flag is not None else environ.get(about["variable"], about["default"])
    try:
        return about["read"](text)
    except BusError as error:
        raise ConfigError(f"{source}: {error}") from None


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
