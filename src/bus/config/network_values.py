"""Settings about who asks: names of hosts and networks of proxies, and how they are written."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network

from bus.config.values import split_list
from bus.errors import ConfigError

Network = IPv4Network | IPv6Network

ANY_HOST = "*"

_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[1-9]\d{0,4})?", re.ASCII)


def parse_hosts(text: str) -> frozenset[str]:
    """Read ``bus.example.org,bus:2021``, in lower case; empty for ``*``, which is any. Raises `ConfigError`."""
    hosts = split_list(text)
    for host in hosts:
        if host != ANY_HOST and not _HOST.fullmatch(host):
            raise ConfigError(
                f"host {host[:80]!a} can't be read: write it like bus.example.org or bus.example.org:2021"
            )
    if not hosts:
        raise ConfigError("no host is named: write them like bus.example.org, or * for any")
    return frozenset() if ANY_HOST in hosts else frozenset(map(str.lower, hosts))


def parse_networks(text: str) -> tuple[Network, ...]:
    """Read ``10.0.0.0/8,::1``. Raises `ConfigError`, also for a network whose address has bits beyond its length."""
    try:
        return tuple(map(ip_network, split_list(text)))
    except ValueError as error:
        raise ConfigError(f"networks can't be read: {error}; write them like 10.0.0.0/8 or 192.168.1.7") from None
