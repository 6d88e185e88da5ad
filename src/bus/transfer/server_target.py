"""A running server as a place that events are written to."""

from __future__ import annotations

import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

import msgspec

from bus.engine.embedded.namespace_table import KeptNamespace
from bus.errors import BusError, ConnectionFailedError, TimedOutError
from bus.event import Draft
from bus.namespace import NamespaceSettings
from bus.transfer.admission import StoredEvent
from bus.transfer.odd_events import OddEventError, OddEvents, Piece, admit_each
from bus.transfer.server_address import ServerAddress
from bus.transfer.server_questions import ServerQuestions

UPLOAD_EVENTS = 4000
UPLOAD_SECONDS = 30.0
"""How long a server may take to store 1,000 events."""


class ServerTarget:
    """A running server, which keeps ids, times and keys and gives new indexes.

    What it refuses is named on standard error and counted in ``refused``; the rest is stored. Dead letters are left
    out, because they belong to a server's own consumers.
    """

    def __init__(self, address: ServerAddress, *, odd: OddEvents) -> None:
        self.refused = 0
        self._address = address
        self._dead = 0
        self._odd = odd
        self._client = address.open_client(timeout=UPLOAD_SECONDS)
        self._gathered: list[Draft] = []

    def make_namespaces(self, rows: Iterable[KeptNamespace]) -> None:
        there = ServerQuestions(self._address).ask_namespaces() if rows else {}
        for row in rows:
            if row.name in there:
                self._odd.note(f"settings of namespace {row.name} are not copied: {self._address} has it already")
            else:
                self._make(row.name, row.settings)

    def _make(self, name: str, own: NamespaceSettings) -> None:
        """Make a namespace, if the server permits."""
        try:
            self._client.namespaces.put(
                name,
                storage=own.storage.value,
                retention=None if own.retention is None else str(own.retention),
                max_bytes=own.max_bytes,
                compact=None if own.compact is None else own.compact.value,
            )
        except ConnectionFailedError:
            raise
        except BusError as error:
            self._odd.note(f"namespace {name} and its settings are not copied: {error}")

    def add(self, piece: Piece) -> None:
        admit_each(piece, self._gather, self._odd, now=time.time_ns())

    def _gather(self, event: StoredEvent) -> None:
        if event.dead:
            self._dead += 1
            return
        self._gathered.append(msgspec.convert(event, Draft, from_attributes=True))
        if len(self._gathered) >= UPLOAD_EVENTS:
            self._upload()

    def _upload(self) -> None:
        drafts, self._gathered = self._gathered, []
        for draft, outcome in zip(drafts, self._client.put_many(drafts, atomic=False), strict=True):
            if isinstance(outcome, ConnectionFailedError | TimedOutError):
                raise type(outcome)(f"stopped at event {draft.id or draft.subject}: {outcome}")
            if isinstance(outcome, BusError):
                self.refused += 1
                self._odd.note(f"event {draft.id or draft.subject} is refused: {outcome}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._client:
            if kind is None or issubclass(kind, OddEventError):
                self._upload()
        if self._dead:
            self._odd.note(f"{self._dead} dead letters are left out: a server writes its own")

    def __repr__(self) -> str:
        return f"<ServerTarget {self._client!r}, {self.refused} events refused>"
