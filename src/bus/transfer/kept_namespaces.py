"""What was said of namespaces while a server ran, to be said where they are copied to.

A directory has it in its table. A server tells what holds for a namespace, which may be what its flags say of all: that
is kept of those which were made while it ran. What it has in memory becomes a log where it is copied into a directory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from bus.config import parse_keep
from bus.engine.embedded.namespace_table import KeptNamespace, NamespaceTable, State
from bus.errors import ConfigError
from bus.namespace import NamespaceSettings, Storage
from bus.transfer.directory_source import DirectorySource
from bus.transfer.server_address import ServerAddress
from bus.transfer.server_questions import ServedNamespace, stranger
from bus.transfer.server_source import ServerSource


def read_kept(
    source: DirectorySource | ServerSource, only: Sequence[str] = (), *, into_directory: bool = False
) -> list[KeptNamespace]:
    """What was said of the namespaces of *source*, or of *only* some of them, as it is to be said where they go.

    Raises a `StorageError`, or `ConnectionFailedError` if a server tells what can't be.
    """
    rows = _in_directory(source) if isinstance(source, DirectorySource) else _in_server(source, into_directory)
    return [row for row in rows if not only or row.name in only]


def _in_directory(source: DirectorySource) -> Iterator[KeptNamespace]:
    return NamespaceTable(source.directory.table).of(State.MADE, State.DECLARED)


def _in_server(source: ServerSource, into_directory: bool) -> Iterator[KeptNamespace]:
    for stats in source.stats.values():
        if not stats.declared:
            row = _as_made(source.address, stats)
            yield replace(row, settings=replace(row.settings, storage=Storage.DISK)) if into_directory else row


def _as_made(address: ServerAddress, stats: ServedNamespace) -> KeptNamespace:
    try:
        retention = parse_keep(stats.retention) if stats.retention else None
    except ConfigError as error:
        raise stranger(address, f"what can't be read ({error})") from None
    own = NamespaceSettings(storage=stats.storage, retention=retention, max_bytes=stats.quota, compact=stats.compact)
    return KeptNamespace(stats.namespace, State.MADE, own)
