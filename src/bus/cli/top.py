"""``bus top``: what goes on in a server, in a terminal.

the watch, in a thread ──counts──▶ a queue, and a byte through a pipe ─┐
                                                                      ├─▶ the screen is drawn anew, or it is over
keys ─────────────────────────────────────────────────────────────────┘
"""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from threading import Thread

import click
import msgspec

from bus.cli.console import emit, writing
from bus.cli.option_types import DurationType
from bus.cli.server_options import server_options
from bus.cli.top_screen import Rates, screen
from bus.client import Watch
from bus.client.core.watch import Counts
from bus.errors import BusError
from bus.transfer.server_address import ServerAddress

PATIENCE = 10.0
"""Seconds to wait for an answer."""

LEAVE = b"qQ\x04"
"""The keys that end it: q, and Ctrl-D. Ctrl-C is a signal."""


@click.command(
    epilog="""\b
Examples:
  bus top
  bus top --interval 5s
  bus top --once --json | jq .consumers
"""
)
@click.option(
    "--interval",
    type=DurationType(),
    default="1s",
    metavar="DURATION",
    help="Time between looks, 100ms to 1m.  [1s]",
)
@click.option("--once", is_flag=True, help="Look once.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each look, as in a pipe.")
@server_options
def top(*, server: ServerAddress, interval: float, once: bool, as_json: bool) -> None:
    """Watch a server: its namespaces and durable consumers, how fast they go, how far behind they are, and why.

    On a terminal q or Ctrl-C ends it.
    """
    with server.open_client(timeout=PATIENCE) as client, client.watch(interval=interval, follow=not once) as watch:
        if as_json or not sys.stdout.isatty():
            for counts in watch:
                emit(msgspec.json.encode(counts))
        elif once:
            _print(str(server), next(watch))
        else:
            with suppress(KeyboardInterrupt):
                _show(str(server), watch)


def _print(where: str, counts: Counts) -> None:
    from rich.console import Console

    with writing():
        console = Console()
        console.print(screen(where, Rates(None, counts), width=console.width))


def _show(where: str, watch: Watch) -> None:
    """Draw the screen anew whenever there are other counts, until somebody has seen enough."""
    from rich.console import Console
    from rich.live import Live

    console, looks = Console(), Looks(watch)
    before: Counts | None = None
    with _keys() as keys, Live(console=console, screen=True, auto_refresh=False) as live:
        while not _leaves(keys, looks.wakes):
            for now in looks.take():
                drawn = screen(where, Rates(before, now), width=console.width, height=console.height)
                live.update(drawn, refresh=True)
                before = now


def _leaves(keys: int | None, wakes: int) -> bool:
    """Wait for a key or for counts; whether it was a key that ends it."""
    readable, _, _ = select.select([source for source in (keys, wakes) if source is not None], [], [])
    return keys in readable and keys is not None and any(key in LEAVE for key in os.read(keys, 64) or b"q")


class Looks:
    """What *watch* brings, taken from another thread; ``wakes`` can be read when there is some."""

    def __init__(self, watch: Watch) -> None:
        self.wakes, self._wake = os.pipe()
        self._watch = watch
        self._found: SimpleQueue[Counts | BusError | None] = SimpleQueue()
        Thread(target=self._look, name="looks", daemon=True).start()

    def _look(self) -> None:
        try:
            for counts in self._watch:
                self._put(counts)
            self._put(None)
        except BusError as error:
            self._put(error)

    def _put(self, found: Counts | BusError | None) -> None:
        self._found.put(found)
        os.write(self._wake, b"!")

    def take(self) -> Iterator[Counts]:
        """The counts that have come. Raises what ends the watch."""
        if not select.select([self.wakes], [], [], 0)[0]:
            return
        for _ in os.read(self.wakes, 64):
            found = self._found.get()
            if isinstance(found, BusError):
                raise found
            if found is not None:
                yield found


@contextmanager
def _keys() -> Iterator[int | None]:
    """Have keys come one by one and unseen; gives where to read them, None if nobody has a keyboard there."""
    if not sys.stdin.isatty():
        yield None
        return
    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    try:
        tty.setcbreak(number)
        yield number
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)
