"""What ``bus top`` shows: the counts of a server and how fast they go, fitted to a terminal.

    ┌ the server: streams, memory, sync …
    │ namespaces, the busiest first              a third of the lines at most
    │ consumers, those that are furthest behind first, with why
    └ what a key does

A terminal that is narrow has the columns that matter most, one that is low the rows that do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from bus.cli.console import printable
from bus.client.core.watch import Counts
from bus.consumer import ConsumerDescription
from bus.namespace import NamespaceDescription
from bus.units import SECOND_NS, format_duration, format_size, parse_time

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

Row = TypeVar("Row", NamespaceDescription, ConsumerDescription)

AROUND = 7
"""Lines beside the rows: the server, two titles, their heads, and the foot."""


@dataclass(frozen=True, slots=True)
class Rates:
    """How much there is a second, between the counts *before*, which None are no rates, and *now*."""

    before: Counts | None
    now: Counts

    @property
    def _seconds(self) -> float:
        return (parse_time(self.now.time) - parse_time(self.before.time)) / SECOND_NS if self.before else 0.0

    def published(self, row: NamespaceDescription) -> float | None:
        """Events a second that are published to a namespace."""
        old = self.before.namespaces.get(row.namespace) if self.before else None
        return self._rate(old.published, row.published) if old else None

    def delivered(self, row: NamespaceDescription) -> float | None:
        """Events a second that are handed to subscribers of it."""
        old = self.before.namespaces.get(row.namespace) if self.before else None
        return self._rate(old.delivered, row.delivered) if old else None

    def consumed(self, row: ConsumerDescription) -> float | None:
        """Events a second that are delivered to a consumer."""
        old = self.before.consumers.get(row.name) if self.before else None
        return self._rate(old.delivered, row.delivered) if old else None

    def _rate(self, old: int, new: int) -> float | None:
        """What began anew meanwhile, with the server, has none yet."""
        if new < old or self._seconds <= 0:
            return None
        return (new - old) / self._seconds


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """A column: its title, what it says of a row, and how wide a terminal has to be at *least* to have it."""

    title: str
    text: Callable[[Row, Rates], str]
    least: int = 0
    number: bool = True


_NAMESPACES: tuple[Column[NamespaceDescription], ...] = (
    Column("namespace", lambda row, rates: row.namespace, number=False),
    Column("published/s", lambda row, rates: _per_second(rates.published(row))),
    Column("delivered/s", lambda row, rates: _per_second(rates.delivered(row)), least=50),
    Column("events", lambda row, rates: f"{row.events:,}", least=62),
    Column("size", lambda row, rates: format_size(row.bytes), least=74),
    Column("streams", lambda row, rates: f"{row.subscribers:,}", least=84),
    Column("takes events", lambda row, rates: "yes" if row.writable else "NO", number=False),
)

_CONSUMERS: tuple[Column[ConsumerDescription], ...] = (
    Column("consumer", lambda row, rates: row.name, number=False),
    Column("behind", lambda row, rates: f"{'≥ ' if row.counting else ''}{row.behind:,}"),
    Column("delivered/s", lambda row, rates: _per_second(rates.consumed(row)), least=62),
    Column("in flight", lambda row, rates: f"{row.in_flight:,}", least=74),
    Column("dead", lambda row, rates: f"{row.dead:,}", least=50),
    Column("streams", lambda row, rates: f"{row.connections:,}", least=84),
    Column("why", lambda row, rates: row.why, number=False),
)


def screen(where: str, rates: Rates, *, width: int, height: int | None = None) -> RenderableType:
    """The counts of the server at *where*, for a terminal of so many columns and lines; None is as many as it takes."""
    from rich.console import Group
    from rich.text import Text

    now = rates.now
    namespaces = sorted(now.namespaces.values(), key=lambda row: (-(rates.published(row) or 0), row.namespace))
    consumers = sorted(now.consumers.values(), key=lambda row: (-row.behind, -row.dead, row.name))
    room = None if height is None else max(height - AROUND, 2)
    some = None if room is None else max(room // 3, room - len(consumers), 1)
    shown = len(namespaces) if some is None else min(some, len(namespaces))
    return Group(
        Text(printable(_head(where, now)), style="bold", no_wrap=True, overflow="ellipsis"),
        Text(),
        _table(namespaces[:shown], _NAMESPACES, rates, width),
        Text(_rest(len(namespaces) - shown, "namespaces"), style="dim"),
        *_second(consumers, rates, width, None if room is None else room - shown),
    )


def _second(
    consumers: Sequence[ConsumerDescription], rates: Rates, width: int, room: int | None
) -> Sequence[RenderableType]:
    from rich.text import Text

    if not consumers:
        return [Text("no durable consumers", style="dim")]
    shown = len(consumers) if room is None else min(max(room, 1), len(consumers))
    return [
        _table(consumers[:shown], _CONSUMERS, rates, width),
        Text(_rest(len(consumers) - shown, "consumers"), style="dim"),
    ]


def _head(where: str, now: Counts) -> str:
    """The server in a line."""
    server = now.server
    if server is None:
        return where
    synced = "" if server.sync_p50 is None else f"sync p50 {_short(server.sync_p50)} p99 {_short(server.sync_p99 or 0)}"
    parts = (
        where, f"up {format_duration(round(server.uptime))}", f"{server.connections:,} connections",
        f"{server.streams:,} streams", format_size(server.memory), synced,
    )  # fmt: skip
    return " · ".join(filter(None, parts))


def _short(seconds: float) -> str:
    return f"{seconds * 1000:.3g}ms"


def _per_second(rate: float | None) -> str:
    return "" if rate is None else f"{rate:,.0f}" if rate >= 10 or rate == 0 else f"{rate:.1f}"


def _rest(left: int, what: str) -> str:
    return f"… and {left:,} more {what}" if left > 0 else ""


def _table(rows: Sequence[Row], columns: Sequence[Column[Row]], rates: Rates, width: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    fitting = [column for column in columns if column.least <= width]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", expand=False)
    for column in fitting:
        justify, most = ("right", None) if column.number else ("left", max(width // 3, 12))
        table.add_column(
            column.title, justify="right" if justify == "right" else "left", no_wrap=True, overflow="ellipsis",
            max_width=None if column.title == "why" else most,
        )  # fmt: skip
    for row in rows:
        table.add_row(*(Text(printable(column.text(row, rates))) for column in fitting), style=_style(row))
    return table


def _style(row: NamespaceDescription | ConsumerDescription) -> str:
    """Red is what somebody has to look after."""
    if isinstance(row, NamespaceDescription):
        return "" if row.writable else "red"
    return "red" if row.dead else ""
