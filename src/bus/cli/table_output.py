"""Results as a table for a person, as a line of JSON each for a program."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from bus.cli.console import emit, printable, writing
from bus.errors import ConnectionFailedError

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class TableColumn(Generic[Row]):
    """A column: its title, what it says of a row, whether that is a number, whether it may go over several lines."""

    title: str
    text: Callable[[Row], str]
    number: bool = False
    wraps: bool = False


def show(rows: Sequence[Mapping[str, object]], kind: type[Row], *columns: TableColumn[Row]) -> None:
    """Print *rows*: on a terminal these *columns* of what makes each a *kind*, in a pipe all there is of them.

    Raises `ConnectionFailedError` for a row that is none: they are what a server answered.
    """
    if not sys.stdout.isatty():
        for row in rows:
            emit(msgspec.json.encode(row))
        return
    try:
        shown = [msgspec.convert(row, kind) for row in rows]
    except msgspec.ValidationError as error:
        raise ConnectionFailedError(f"the server's answer can't be shown ({error}): is it a Bus server?") from None
    draw(shown, *columns)


def draw(rows: Sequence[Row], *columns: TableColumn[Row], title: str = "") -> None:
    """Draw *rows* as a table."""
    # Imported late, because only a terminal needs it and it is slow to load.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(printable(title)) if title else None, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column.title, justify="right" if column.number else "left", no_wrap=not column.wraps)
    for row in rows:
        table.add_row(*(Text(printable(column.text(row))) for column in columns))
    with writing():
        Console().print(table)
