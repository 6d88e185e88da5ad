"""``bus debug``: what is there, and which events."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from bus.cli.console import emit, note, progress, say
from bus.cli.option_types import IndexRangeType, MomentType
from bus.cli.place_options import namespace_option, place_options
from bus.cli.secret_options import make_cipher, secret_options
from bus.cli.table_output import TableColumn, draw
from bus.config import Secret
from bus.engine.embedded.namespace_table import KeptNamespace
from bus.errors import StorageError
from bus.storage import Damage
from bus.subject import Filter
from bus.transfer.directory_source import DirectorySource
from bus.transfer.event_selection import Selection, read_directory, read_server
from bus.transfer.event_source import EventSource, Place, open_source
from bus.transfer.kept_namespaces import read_kept
from bus.transfer.namespace_overview import (
    NamespaceOverview,
    SegmentOverview,
    SubjectCount,
    count_subjects,
    overview_of,
)
from bus.transfer.namespaces import everything_in, find_namespaces
from bus.transfer.server_address import ServerAddress
from bus.transfer.server_source import ServerSource
from bus.units import format_size

SUBJECTS_SHOWN = 10


@click.command(
    epilog="""\b
Examples:
  bus debug --path ./data
  bus debug --path ./data --subject "orders.*" --since 1h
  bus debug --path http://localhost:2021 --namespace app --index 1000..1010
  bus debug --path ./data --subject "app.>" --follow
"""
)
@place_options
@namespace_option("Only this namespace; may be repeated.")
@click.option("--subject", "patterns", multiple=True, metavar="PATTERN", help="List events of these subjects.")
@click.option("--index", "indexes", type=IndexRangeType(), metavar="A..B", help="List events with these indexes.")
@click.option(
    "--since", type=MomentType(), metavar="TIME", help="List events since a time, or of an age at most, like 15m."
)
@click.option("--until", type=MomentType(), metavar="TIME", help="List events until a time, or an age.")
@click.option("--follow", is_flag=True, help="List events, go on with those to come, and end at Ctrl-C.")
@click.option("--segments", is_flag=True, help="Show the files of each log as well.")
@click.option(
    "--subjects",
    type=click.IntRange(0),
    metavar="N",
    help=f"Show the N most frequent subjects, 0: don't count.  [{SUBJECTS_SHOWN}; 0 for a server]",
)
@secret_options(of="the directory")
def debug(
    *, place: Place, only: Sequence[str], secret: Secret, segments: bool, subjects: int | None, **filters: Any
) -> None:
    """Show what a data directory or a server holds, or list events of it.

    Without a filter: its namespaces, files, times, damage, and subjects by count. With --subject, --index, --since,
    --until or --follow: the events that all of these take.

    A directory may be in use by a server; nothing in it is changed. In a pipe everything is NDJSON: a line for each
    namespace, or for each event.
    """
    if any(filters.values()):
        try:
            _list(place, only, secret, **filters)
        except KeyboardInterrupt:
            return
    else:
        most = (0 if isinstance(place, ServerAddress) else SUBJECTS_SHOWN) if subjects is None else subjects
        _overview(place, only, secret, segments=segments, most=most)


# -- at a glance


def _overview(place: Place, only: Sequence[str], secret: Secret, *, segments: bool, most: int) -> None:
    damage: list[Damage | str] = []
    source = open_source(place, cipher=make_cipher(secret), only=only, on_damage=damage.append)
    counts = _count_subjects(source, most) if most else {}
    overviews = overview_of(source, damage, _kept(source))
    for overview in overviews:
        overview.subjects = counts.get(overview.namespace, [])
    if not sys.stdout.isatty():
        for overview in overviews:
            emit(msgspec.json.encode(overview))
        return
    _draw(overviews, segments=segments)


def _kept(source: DirectorySource | ServerSource) -> list[KeptNamespace]:
    """What the table of a directory says, and a note if it is damaged; a server isn't asked."""
    try:
        return read_kept(source) if isinstance(source, DirectorySource) else []
    except StorageError as error:
        note(error.message)
        return []


def _count_subjects(source: EventSource, most: int) -> dict[str, list[SubjectCount]]:
    done = 0
    with progress("count subjects", total=source.events, unit="events") as show:

        def counted(events: int) -> None:
            nonlocal done
            done += events
            show(done)

        return {name: count_subjects(source, name, most, counted) for name in source.namespaces}


_NAMESPACE: tuple[TableColumn[NamespaceOverview], ...] = (
    TableColumn("namespace", lambda row: row.namespace),
    TableColumn("events", lambda row: f"{row.events:,}", number=True),
    TableColumn("indexes", lambda row: f"{row.first_index} to {row.last_index}" if row.events else "none"),
    TableColumn("size", lambda row: format_size(row.bytes), number=True),
    TableColumn("files", lambda row: str(row.segments), number=True),
    TableColumn("from", lambda row: _shown_time(row.first_time), wraps=True),
    TableColumn("to", lambda row: _shown_time(row.last_time), wraps=True),
    TableColumn("encrypted", lambda row: {True: "yes", False: "no", None: ""}[row.encrypted]),
)
_SEGMENT: tuple[TableColumn[SegmentOverview], ...] = (
    TableColumn("file", lambda row: row.file),
    TableColumn("indexes", lambda row: f"{row.first_index} to {row.last_index}"),
    TableColumn("size", lambda row: format_size(row.bytes), number=True),
    TableColumn("from", lambda row: _shown_time(row.first_time), wraps=True),
    TableColumn("to", lambda row: _shown_time(row.last_time), wraps=True),
    TableColumn("encrypted", lambda row: "yes" if row.encrypted else "no"),
)
_SETTINGS: tuple[TableColumn[NamespaceOverview], ...] = (
    TableColumn("namespace", lambda row: row.namespace),
    TableColumn("while a server ran", lambda row: "made" if row.made else "changed"),
    TableColumn("retention", lambda row: _shown_setting(row, "retention")),
    TableColumn("quota", lambda row: _shown_setting(row, "max_bytes")),
    TableColumn("compact", lambda row: _shown_setting(row, "compact")),
)
_SUBJECT: tuple[TableColumn[SubjectCount], ...] = (
    TableColumn("subject", lambda row: row.subject),
    TableColumn("events", lambda row: f"{row.events:,}", number=True),
)


def _draw(overviews: Sequence[NamespaceOverview], *, segments: bool) -> None:
    draw(overviews, *_NAMESPACE)
    for overview in overviews:
        if segments and overview.files:
            draw(overview.files, *_SEGMENT, title=f"segments of {overview.namespace}")
    if said := [overview for overview in overviews if overview.settings]:
        draw(said, *_SETTINGS)
    if subjects := [subject for overview in overviews for subject in overview.subjects]:
        draw(subjects, *_SUBJECT)
    for damage in (damage for overview in overviews for damage in overview.damage):
        say(f"damaged: {damage}")


def _shown_setting(row: NamespaceOverview, name: str) -> str:
    value = getattr(row.settings, name)
    return "" if value is None else str(value)


def _shown_time(text: str | None) -> str:
    """To the second: what a person compares."""
    return text[:19].replace("T", " ") if text else ""


# -- event by event


def _list(
    place: Place,
    only: Sequence[str],
    secret: Secret,
    *,
    patterns: Sequence[str],
    indexes: tuple[int, int | None] | None,
    since: int | None,
    until: int | None,
    follow: bool,
) -> None:
    source = _open(place, only or _namespaces_of(patterns))
    filters = _filters(
        patterns, only or (source.namespaces if isinstance(source, ServerSource) else find_namespaces(source))
    )
    if follow and len(filters) > 1:
        raise click.UsageError("--follow is for one namespace: name it by --namespace or --subject")
    first, last = indexes or (1, None)
    for wanted in filters:
        selection = Selection(wanted, first=first, last=last, since=since, until=until)
        if isinstance(source, ServerSource):
            _print(read_server(source, selection, follow=follow))
        else:
            _print(read_directory(source, selection, cipher=make_cipher(secret), note=note, follow=follow))


def _open(place: Place, only: Sequence[str]) -> ServerSource | Path:
    return ServerSource.connect(place, only=only) if isinstance(place, ServerAddress) else place


def _namespaces_of(patterns: Sequence[str]) -> list[str]:
    return [Filter.parse(patterns).namespace] if patterns else []


def _filters(patterns: Sequence[str], namespaces: Sequence[str]) -> list[Filter]:
    """One filter for each namespace that is listed."""
    return [Filter.parse(patterns)] if patterns else [Filter.parse(everything_in(name)) for name in namespaces]


class _Shown(msgspec.Struct):
    index: int
    created_at: str
    subject: str
    payload: msgspec.Raw


def _print(lines: Iterator[bytes]) -> None:
    for line in lines:
        emit(_row(line) if sys.stdout.isatty() else line)


def _row(line: bytes) -> bytes:
    """An event on one line of the terminal."""
    event = msgspec.json.decode(line, type=_Shown)
    payload = bytes(event.payload).decode()
    row = f"{event.index:>8}  {_shown_time(event.created_at)}  {event.subject:<24}  {payload}"
    return row[: shutil.get_terminal_size().columns].encode()
