"""Who has acknowledged an event that a publisher waits for.

    expect ─▶ unplaced ── stored(index) ─▶ awaited at that index ─▶ stop
                 │                                │
        remembers all that is acknowledged      is told

Between publishing and hearing of it anything may be acknowledged, the event itself too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

Changed = Callable[[Sequence[str]], None]


class Confirmations:
    """The events of one namespace that somebody waits for."""

    def __init__(self) -> None:
        self._unplaced: dict[Confirming, None] = {}
        self._awaited: dict[int, Confirming] = {}

    def expect(self, changed: Changed) -> Confirming:
        """Call *changed* with the distinct consumers that acknowledged an event, whenever one more did."""
        confirming = Confirming(self, changed)
        self._unplaced[confirming] = None
        return confirming

    def place(self, confirming: Confirming, index: int) -> None:
        """*confirming* is about the event at *index*."""
        if confirming in self._unplaced:
            del self._unplaced[confirming]
            self._awaited[index] = confirming

    def forget(self, confirming: Confirming, index: int | None) -> None:
        self._unplaced.pop(confirming, None)
        if index is not None:
            self._awaited.pop(index, None)

    def add(self, indexes: Iterable[int], consumer: str) -> None:
        """*consumer* has acknowledged the events at *indexes*."""
        if self._awaited or self._unplaced:
            for index in indexes:
                self._add(index, consumer)

    def _add(self, index: int, consumer: str) -> None:
        if awaited := self._awaited.get(index):
            awaited.confirm((consumer,))
        for confirming in self._unplaced:
            confirming.note(index, consumer)

    def __repr__(self) -> str:
        return f"<Confirmations of {len(self._awaited)} events, {len(self._unplaced)} not stored yet>"


class Confirming:
    """One publisher that waits for confirmations of one event."""

    def __init__(self, confirmations: Confirmations, changed: Changed) -> None:
        self._confirmations = confirmations
        self._changed = changed
        self._index: int | None = None
        self._early: dict[int, list[str]] = {}
        self._consumers: dict[str, None] = {}

    def stored(self, index: int) -> None:
        """The event has this index."""
        self._index = index
        self._confirmations.place(self, index)
        early, self._early = self._early, {}
        self.confirm(early.get(index, ()))

    def stop(self) -> None:
        """Nobody waits any more."""
        self._confirmations.forget(self, self._index)

    def note(self, index: int, consumer: str) -> None:
        """*consumer* has acknowledged an event that may turn out to be this one."""
        self._early.setdefault(index, []).append(consumer)

    def confirm(self, consumers: Iterable[str]) -> None:
        """*consumers* have acknowledged the event."""
        before = len(self._consumers)
        self._consumers.update(dict.fromkeys(consumers))
        if len(self._consumers) > before:
            self._changed(list(self._consumers))
