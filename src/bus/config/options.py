"""The one table of settings: how each is written, and what it means.

The command line, the environment and the documentation all come from it, in its order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bus.config.network_values import ANY_HOST, parse_hosts, parse_networks
from bus.config.values import (
    DEFAULT_PORT,
    EMBEDDED,
    Address,
    Fsync,
    LogFormat,
    LogLevel,
    Secret,
    parse_block_size,
    parse_choice,
    parse_compact,
    parse_count,
    parse_engine,
    parse_flag,
    parse_namespaces,
    parse_path,
    parse_quotas,
    parse_retention,
    split_list,
)
from bus.errors import BusError, ConfigError
from bus.units import parse_duration, parse_rate, parse_size

_USER = re.compile(r"//[^/]*@")

SET = "(set)"
"""What is shown of a secret."""


@dataclass(frozen=True, slots=True)
class Option:
    """One setting: how its text is read, the variable and the default, what it means.

    ``shown`` is what help texts have for a default that is empty; a switch may be given without a value.
    """

    name: str
    read: Callable[[str], object]
    variable: str
    default: str
    help: str
    shown: str = ""
    is_switch: bool = False

    def shown_value(self, flags: Mapping[str, str | None], environ: Mapping[str, str]) -> str:
        """The text that `value` reads; of a secret only that there is one, of a URL no user and password."""
        text = _USER.sub("//***@", self._given(flags, environ)[1])
        return SET if text and self.read is Secret else text

    @property
    def flag(self) -> str:
        return f"--{self.name.replace('_', '-')}"

    def value(self, flags: Mapping[str, str | None], environ: Mapping[str, str]) -> object:
        """What *flags* say, else *environ*, else the default. Raises `ConfigError` naming where it came from."""
        source, text = self._given(flags, environ)
        try:
            return self.read(text)
        except BusError as error:
            raise ConfigError(f"{source}: {error}") from None

    def _given(self, flags: Mapping[str, str | None], environ: Mapping[str, str]) -> tuple[str, str]:
        """Where its text came from, and the text."""
        given = flags.get(self.name)
        if given is not None:
            return self.flag, given
        return self.variable, environ.get(self.variable, self.default)


OPTIONS = (
    Option("addr", Address.parse, "BUS_ADDR", f":{DEFAULT_PORT}", "Address to listen on."),
    Option("tls_cert", parse_path, "BUS_TLS_CERT", "", "Certificate to serve HTTPS with, PEM.", shown="plain HTTP"),
    Option("tls_key", parse_path, "BUS_TLS_KEY", "", "Private key of the certificate, PEM.", shown="in --tls-cert"),
    Option(
        "tls_client_ca",
        parse_path,
        "BUS_TLS_CLIENT_CA",
        "",
        "Authorities that clients need a certificate of, PEM.",
        shown="none needed",
    ),
    Option(
        "auth",
        parse_path,
        "BUS_AUTH",
        "",
        "File that says who may do what; without it everybody may do everything.",
        shown="none",
    ),
    Option(
        "engine",
        parse_engine,
        "BUS_ENGINE",
        EMBEDDED,
        "What stores and delivers: embedded, or NATS JetStream at nats://a:4222,b:4222,c:4222/prefix.",
    ),
    Option(
        "engine_credentials",
        parse_path,
        "BUS_ENGINE_CREDENTIALS",
        "",
        "Credentials for NATS: a .creds file, or one with the seed of an nkey.",
        shown="none",
    ),
    Option(
        "engine_tls_ca",
        parse_path,
        "BUS_ENGINE_TLS_CA",
        "",
        "Authorities that the certificates of NATS are to be of, PEM; for tls:// in --engine.",
        shown="the system's",
    ),
    Option(
        "engine_tls_cert",
        parse_path,
        "BUS_ENGINE_TLS_CERT",
        "",
        "Certificate to show to NATS, and its chain, PEM.",
        shown="none",
    ),
    Option(
        "engine_tls_key",
        parse_path,
        "BUS_ENGINE_TLS_KEY",
        "",
        "Private key of that certificate, PEM, not encrypted.",
        shown="in --engine-tls-cert",
    ),
    Option(
        "engine_replicas",
        parse_count,
        "BUS_ENGINE_REPLICAS",
        "0",
        "Nodes of NATS that have each event; 0 is 3 in a cluster, else 1. It holds for namespaces that are new.",
    ),
    Option(
        "engine_monitors",
        split_list,
        "BUS_ENGINE_MONITORS",
        "",
        "Monitoring addresses of all nodes of NATS, separated by commas, to verify that they sync before they answer.",
        shown="none",
    ),
    Option(
        "engine_synced",
        parse_flag,
        "BUS_ENGINE_SYNCED",
        "false",
        "Claim that all nodes of NATS sync before they answer, unverified.",
        is_switch=True,
    ),
    Option("path", Path, "BUS_PATH", "./data", "Directory the events are stored in."),
    Option(
        "namespaces",
        parse_namespaces,
        "BUS_NAMESPACES",
        "",
        "Namespaces to serve, separated by commas; live:memory keeps one in memory alone.",
        shown="required",
    ),
    Option("secret_key", Secret, "BUS_SECRET_KEY", "", "Secret that encrypts the log.", shown="not encrypted"),
    Option(
        "secret_key_file",
        parse_path,
        "BUS_SECRET_KEY_FILE",
        "",
        "File that holds the secret.",
        shown="none",
    ),
    Option("block_size", parse_block_size, "BUS_BLOCK_SIZE", "4096", "Plaintext bytes an encrypted block holds."),
    Option(
        "log_level", lambda text: parse_choice(LogLevel, text), "BUS_LOG_LEVEL", "INFO", "DEBUG, INFO, WARN or ERROR."
    ),
    Option(
        "log_format",
        lambda text: parse_choice(LogFormat, text),
        "BUS_LOG_FORMAT",
        "text",
        "text, or json for a line of JSON each.",
    ),
    Option("access_log", parse_flag, "BUS_ACCESS_LOG", "false", "Log a line for each request.", is_switch=True),
    Option("otel", parse_flag, "BUS_OTEL", "false", "Send traces by OTLP, as the OTEL_ variables say.", is_switch=True),
    Option(
        "fsync",
        lambda text: parse_choice(Fsync, text),
        "BUS_FSYNC",
        "always",
        "When events reach the disk: always (before each answer), interval or never.",
    ),
    Option("fsync_interval", parse_duration, "BUS_FSYNC_INTERVAL", "1s", "Time between syncs under --fsync interval."),
    Option("segment_size", parse_size, "BUS_SEGMENT_SIZE", "64MiB", "Size at which a new segment is begun."),
    Option(
        "retention",
        parse_retention,
        "BUS_RETENTION",
        "",
        "What to keep, like 'app=7d,10GB *=1000000': ages, sizes or numbers of events, whole segments at a time.",
        shown="everything",
    ),
    Option(
        "retention_force",
        parse_flag,
        "BUS_RETENTION_FORCE",
        "false",
        "Delete also events that a durable consumer has yet to settle.",
        is_switch=True,
    ),
    Option(
        "quota",
        parse_quotas,
        "BUS_QUOTA",
        "",
        "Bytes that namespaces may have, like 'orders=10GB *=1GB': beyond them, publishing is refused.",
        shown="no limit",
    ),
    Option(
        "compact",
        parse_compact,
        "BUS_COMPACT",
        "",
        "Namespaces that keep the newest events only, like 'orders=subject,state=key', by subject or subject and key.",
        shown="none",
    ),
    Option(
        "tombstone_ttl",
        parse_duration,
        "BUS_TOMBSTONE_TTL",
        "24h",
        "Time that a null payload, which deletes where namespaces are compacted, stays itself.",
    ),
    Option(
        "dup_size",
        parse_count,
        "BUS_DUP_SIZE",
        "1000",
        "Keys a namespace remembers to refuse duplicates, and those of the last minute; 0: none.",
    ),
    Option(
        "dup_ttl",
        lambda text: parse_duration(text) if text else None,
        "BUS_DUP_TTL",
        "",
        "Time a key is remembered.",
        shown="no limit",
    ),
    Option("max_body", parse_size, "BUS_MAX_BODY", "4MiB", "Largest body of a publish; NDJSON: largest line."),
    Option(
        "max_body_memory",
        parse_size,
        "BUS_MAX_BODY_MEMORY",
        "256MiB",
        "Bodies that are coming in, and receipts not taken, all together.",
    ),
    Option("max_connections", parse_count, "BUS_MAX_CONNECTIONS", "20000", "Connections held at once."),
    Option(
        "max_connections_per_address",
        parse_count,
        "BUS_MAX_CONNECTIONS_PER_ADDRESS",
        "0",
        "Connections held at once for one client's address; 0 is no limit.",
    ),
    Option(
        "limit_requests",
        lambda text: parse_rate(text) if text else None,
        "BUS_LIMIT_REQUESTS",
        "",
        "Requests that one client's address may send, like 500/s.",
        shown="no limit",
    ),
    Option(
        "limit_bytes",
        lambda text: parse_rate(text) if text else None,
        "BUS_LIMIT_BYTES",
        "",
        "Bytes of bodies that one client's address may send, like 5MB/s.",
        shown="no limit",
    ),
    Option(
        "hosts",
        parse_hosts,
        "BUS_HOSTS",
        ANY_HOST,
        "Names that requests may be for, separated by commas, each with or without a port; * is any.",
    ),
    Option(
        "trusted_proxies",
        parse_networks,
        "BUS_TRUSTED_PROXIES",
        "",
        "Networks of proxies that are believed whom they ask for, separated by commas.",
        shown="none",
    ),
    Option(
        "max_consumers",
        parse_count,
        "BUS_MAX_CONSUMERS",
        "1000",
        "Durable consumers kept; a new one beyond them is refused.",
    ),
    Option(
        "consumer_ttl",
        lambda text: parse_duration(text) or None if text else None,
        "BUS_CONSUMER_TTL",
        "",
        "Time a durable consumer is kept without a connection, unless it says otherwise.",
        shown="for ever",
    ),
    Option(
        "cors_origins", split_list, "BUS_CORS_ORIGINS", "*", "Web origins that may use the server, separated by commas."
    ),
    Option("heartbeat", parse_duration, "BUS_HEARTBEAT", "15s", "Time between heartbeats on a silent stream."),
    Option(
        "busy_poll",
        parse_duration,
        "BUS_BUSY_POLL",
        "0",
        "Time to look for more work without sleeping, like 100us: answers sooner, takes a processor; 0: none.",
    ),
    Option("drain", parse_duration, "BUS_DRAIN", "10s", "Time a stopping server gives to open requests."),
)
"""Every setting, in the order of the documentation."""
