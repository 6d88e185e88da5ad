"""What a server can be told, by a flag or by an environment variable; a flag wins.

    OPTIONS ──▶ values by name ─┬─▶ EngineSettings     what is stored, where and how long
                                └─▶ ServerSettings     HTTP, and the process

The fields of the settings are named after the options (``options.py``), whose texts ``values.py`` reads.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bus.config.network_values import Network
from bus.config.options import OPTIONS
from bus.config.values import (
    EMBEDDED,
    Address,
    Fsync,
    LogFormat,
    LogLevel,
    Secret,
    parse_block_size,
    parse_count,
    parse_keep,
    parse_retention,
    read_secret,
)
from bus.namespace import Compact, Keep, Storage
from bus.units import Rate

__all__ = [
    "EMBEDDED",
    "Address",
    "Compact",
    "EngineSettings",
    "Fsync",
    "Keep",
    "LogFormat",
    "LogLevel",
    "Network",
    "Secret",
    "ServerSettings",
    "Settings",
    "Storage",
    "parse_block_size",
    "parse_count",
    "parse_keep",
    "parse_retention",
    "read_secret",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What is stored, where and for how long."""

    engine: str
    engine_credentials: Path | None
    engine_tls_ca: Path | None
    engine_tls_cert: Path | None
    engine_tls_key: Path | None
    engine_replicas: int
    engine_monitors: tuple[str, ...]
    engine_synced: bool
    path: Path
    namespaces: dict[str, Storage]
    secret_key: Secret
    block_size: int
    fsync: Fsync
    fsync_interval: float
    segment_size: int
    retention: dict[str, Keep]
    retention_force: bool
    quota: dict[str, int]
    compact: dict[str, Compact]
    tombstone_ttl: float
    dup_size: int
    dup_ttl: float | None
    max_consumers: int
    consumer_ttl: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How a server speaks to its clients, and of itself."""

    addr: Address
    tls_cert: Path | None
    tls_key: Path | None
    tls_client_ca: Path | None
    auth: Path | None
    log_level: LogLevel
    log_format: LogFormat
    access_log: bool
    otel: bool
    max_body: int
    max_body_memory: int
    max_connections: int
    max_connections_per_address: int
    limit_requests: Rate | None
    limit_bytes: Rate | None
    hosts: frozenset[str]
    trusted_proxies: tuple[Network, ...]
    cors_origins: tuple[str, ...]
    heartbeat: float
    busy_poll: float
    drain: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a server can be told; ``shown`` is how it was written, by the names of flags, without secrets."""

    engine: EngineSettings
    server: ServerSettings
    shown: Mapping[str, str]

    @classmethod
    def read(cls, flags: Mapping[str, str | None], environ: Mapping[str, str]) -> Settings:
        """Take each setting from *flags* (by name), else *environ*, else its default.

        Raises `ConfigError` naming the flag or variable whose value can't be read.
        """
        values: dict[str, Any] = {option.name: option.value(flags, environ) for option in OPTIONS}
        values["secret_key"] = read_secret(values["secret_key"], values.pop("secret_key_file"))
        shown = {option.flag.removeprefix("--"): option.shown_value(flags, environ) for option in OPTIONS}
        return cls(engine=_pick(EngineSettings, values), server=_pick(ServerSettings, values), shown=shown)


_Part = TypeVar("_Part", EngineSettings, ServerSettings)


def _pick(part: type[_Part], values: Mapping[str, Any]) -> _Part:
    return part(**{field.name: values[field.name] for field in dataclasses.fields(part)})
