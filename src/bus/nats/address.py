"""Where servers are, and how one is spoken to: ``nats://user:password@a:4222,b,c/path``, ``tls://token@a``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote

from bus.nats.errors import SettingsError

DEFAULT_PORT = 4222


class Address(NamedTuple):
    """One server."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Location:
    """What a URL says of a cluster. *path* is what follows the servers, which NATS itself knows nothing of."""

    servers: tuple[Address, ...]
    tls: bool = False
    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    path: str = ""

    @classmethod
    def parse(cls, url: str) -> Location:
        """Read *url*. Raises `SettingsError`, which tells no password."""
        scheme, found, rest = url.partition("://")
        if not found or scheme not in ("nats", "tls"):
            raise SettingsError("a NATS address begins with nats:// or tls://, as in nats://a,b,c")
        authority, _, path = rest.partition("/")
        secret, _, hosts = authority.rpartition("@")
        servers = tuple(_address(host) for host in hosts.split(","))
        name, has_password, password = (unquote(part) for part in secret.partition(":"))
        if has_password:
            return cls(servers, scheme == "tls", user=name, password=password, path=path)
        return cls(servers, scheme == "tls", token=name, path=path)


def _address(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(DEFAULT_PORT)
    host = host.strip("[]")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise SettingsError(f"not a server of NATS: {text!r}; give a host, or a host and a port as in a:4222")
    return Address(host, int(port))
