"""Telling a service manager how the server is, by the protocol of sd_notify(3).

The manager names a datagram socket in NOTIFY_SOCKET, and in WATCHDOG_USEC how soon it takes silence for a hang.
Nothing is said where neither is set.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from bus.errors import InvalidParameterError
from bus.units import parse_whole

MICROSECOND = 1e-6


@dataclass(frozen=True, slots=True)
class Supervisor:
    """The service manager that started this process; with no *address* there is none."""

    address: str = ""
    watchdog: float = 0
    """Seconds of silence after which it restarts the server; 0 if it doesn't watch."""

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> Supervisor:
        """The one named in *environment*. WATCHDOG_PID isn't asked: it may be that of a launcher of this process."""
        return cls(
            address=environment.get("NOTIFY_SOCKET", ""),
            watchdog=_whole(environment.get("WATCHDOG_USEC", "")) * MICROSECOND,
        )

    def ready(self, status: str) -> None:
        """Say that connections are taken, with a line for people."""
        self._tell(f"READY=1\nSTATUS={status}")

    def stopping(self, status: str) -> None:
        """Say that no more connections are taken, with a line for people."""
        self._tell(f"STOPPING=1\nSTATUS={status}")

    async def keep_alive(self) -> None:
        """Say twice within each watchdog time that the event loop goes round, until cancelled."""
        while self.address and self.watchdog:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(self.watchdog / 2)

    def _tell(self, message: str) -> None:
        if not self.address:
            return
        # A leading @ stands for the zero byte of an abstract address.
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        # A manager that is busy or gone must not stop the server from serving.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(message.encode(), address)


def _whole(text: str) -> int:
    """The number that *text* is, 0 if it is none."""
    try:
        return parse_whole(text, what="number")
    except InvalidParameterError:
        return 0
