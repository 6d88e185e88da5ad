"""Hosts that are network namespaces of this machine, each on a cable of its own to a bridge, which can be unplugged.

    namespace ── eth0 ══ cable ── bridge ── this machine, and the other namespaces

Source: network_namespaces(7), veth(4), ip-netns(8), ip-neighbour(8).
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from contextlib import ExitStack
from itertools import count

import pytest

from tests.nats.servers import Host

needs_networks = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="network namespaces take root, and ip of iproute2"
)

NOWHERE = "02:00:00:00:00:01"
"""The address of no network card."""

_numbers = count(1)


class Network:
    """*size* hosts, which are gone when it is closed. They are counted from 0."""

    def __init__(self, size: int) -> None:
        self._name = f"b{os.getpid() % 100_000}-{next(_numbers)}"
        self._net = f"10.{random.randint(64, 254)}.{random.randint(0, 255)}"
        self._leftovers = ExitStack()
        try:
            self._make_bridge()
            for number in range(size):
                self._make_host(number)
        except BaseException:
            self.close()
            raise

    def host(self, number: int) -> Host:
        """Where a node is started to run there."""
        return Host(self._address(number), ("ip", "netns", "exec", self._namespace(number)))

    def unplug(self, number: int) -> None:
        """Cut the host off from everybody."""
        _ip("link", "set", self._cable(number), "down")

    def plug_in(self, number: int) -> None:
        _ip("link", "set", self._cable(number), "up")

    def hide(self, number: int) -> None:
        """Have what this machine sends to the host be lost; the hosts reach each other."""
        _ip("neigh", "replace", self._address(number), "lladdr", NOWHERE, "dev", self._name, "nud", "permanent")

    def show(self, number: int) -> None:
        _ip("neigh", "del", self._address(number), "dev", self._name)

    def close(self) -> None:
        self._leftovers.close()

    def _make_bridge(self) -> None:
        _ip("link", "add", self._name, "type", "bridge")
        self._leftovers.callback(_ip, "link", "del", self._name)
        _ip("addr", "add", f"{self._net}.254/24", "dev", self._name)
        _ip("link", "set", self._name, "up")

    def _make_host(self, number: int) -> None:
        namespace, cable = self._namespace(number), self._cable(number)
        _ip("netns", "add", namespace)
        self._leftovers.callback(_ip, "netns", "del", namespace)
        _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        self._leftovers.callback(_ip, "link", "del", cable)
        _ip("-n", namespace, "addr", "add", f"{self._address(number)}/24", "dev", "eth0")
        for interface in ("lo", "eth0"):
            _ip("-n", namespace, "link", "set", interface, "up")
        _ip("link", "set", cable, "master", self._name, "up")

    def _address(self, number: int) -> str:
        return f"{self._net}.{number + 1}"

    def _namespace(self, number: int) -> str:
        return f"{self._name}-{number}"

    def _cable(self, number: int) -> str:
        return f"{self._name}c{number}"

    def __repr__(self) -> str:
        return f"<Network {self._name} of {self._net}.0/24>"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
