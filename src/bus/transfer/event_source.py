"""Where events are read from: a data directory, in use by a server or not, or a running server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from bus.storage import Cipher, Damage
from bus.transfer.directory_source import DirectorySource
from bus.transfer.server_address import ServerAddress
from bus.transfer.server_source import ServerSource

Place = Path | ServerAddress
"""A data directory, or a server."""


class EventSource(Protocol):
    """Where events are read from."""

    @property
    def namespaces(self) -> Sequence[str]:
        """The namespaces to read, in their order."""
        ...

    @property
    def events(self) -> int | None:
        """How many events they have, None if nobody knows."""
        ...

    @property
    def is_log(self) -> bool:
        """Whether it is a log of ours, in which indexes have no holes."""
        ...

    def lines(self, namespace: str, *, after: str = "") -> Iterator[bytes]:
        """All events of *namespace* in order, or those *after* the one with this id: pieces of NDJSON, whole lines.

        A directory's are exactly as stored; what a server sends is not checked yet.
        Raises `CorruptLogError` at damage, `StorageError`, `ConnectionFailedError`.
        """
        ...


def open_source(
    place: Place,
    *,
    cipher: Cipher | None,
    only: Sequence[str] = (),
    on_damage: Callable[[Damage | str], object] | None = None,
) -> ServerSource | DirectorySource:
    """What is at *place*, a directory or an address, or *only* some namespaces of it.

    What is damaged is given to *on_damage* and passed over, as words if a server tells of it; without that, it is
    raised. Raises `StorageError`
    if there is no such directory, `WrongKeyError`, `UnknownNamespaceError`, `ConnectionFailedError`.
    """
    if isinstance(place, ServerAddress):
        return ServerSource.connect(place, only=only, on_gap=on_damage)
    return DirectorySource.open(place, cipher=cipher, only=only, on_damage=on_damage)
