"""Where events are written to: a data directory that no server has, or a running server."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Protocol, Self

from bus.engine.embedded.namespace_table import KeptNamespace
from bus.transfer.odd_events import Piece


class EventTarget(Protocol):
    """Where events are written to: a block that is left without an error has stored them all, or said which not."""

    refused: int

    def make_namespaces(self, rows: Iterable[KeptNamespace]) -> None:
        """Have what *rows* say hold of namespaces of which nothing is said here, before events are added.

        Where that can't be, a note says so. Raises `StorageError`, `ConnectionFailedError`.
        """
        ...

    def add(self, piece: Piece) -> None:
        """Store the events in *piece*. Raises `OddEventError`, `StorageError`, `ConnectionFailedError`."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...
