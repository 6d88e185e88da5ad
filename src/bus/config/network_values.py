"""Settings about who asks: names of hosts, networks of proxies, and rates; and how they are written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from bus.config.values import split_list
from bus.errors import BusError, ConfigError
from bus.units import format_duration, parse_duration, parse_size

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


@dataclass(frozen=True, slots=True)
class Rate:
    """So much in so many seconds; all of it may come at once, and no more until some of the time has passed."""

    amount: int
    seconds: float = 1.0

    @property
    def cost(self) -> float:
        """Seconds that one of it takes."""
        return self.seconds / self.amount

    def __str__(self) -> str:
        time = format_duration(self.seconds)
        return f"{self.amount}/{time[1:] if time in ('1s', '1m', '1h', '1d') else time}"


def parse_rate(text: str) -> Rate | None:
    """Read ``500/s``, ``5MB/s`` or ``10000/10m``; None for nothing, which is no limit. Raises `ConfigError`."""
    if not text:
        return None
    amount, _, time = text.partition("/")
    try:
        rate = Rate(parse_size(amount), parse_duration(time if time[:1].isdigit() else f"1{time}"))
    except BusError:
        rate = Rate(0)
    if not rate.amount or not rate.seconds:
        raise ConfigError(f"rate {text[:80]!r} can't be read: write it like 500/s, 5MB/s or 10000/10m")
    return rate
