"""Who has acknowledged an event that a publisher waits for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Changed = Callable[[Sequence[str]], None]


class Confirmations:
    """The events of one namespace that somebody waits for, by index."""

    def __init__(self) -> None:
        self._awaited: dict[int, tuple[dict[str, None], Changed]] = {}

    def expect(self, index: int, changed: Changed) -> Callable[[], None]:
        """Call *changed* with the distinct consumers that acknowledged, whenever one more did."""
        self._awaited[index] = {}, changed
        return lambda: self._forget(index)

    def _forget(self, index: int) -> None:
        self._awaited.pop(index, None)

    def add(self, index: int, consumer: str) -> None:
        """*consumer* has acknowledged the event at *index*."""
        awaited = self._awaited.get(index)
        if awaited and consumer not in awaited[0]:
            awaited[0][consumer] = None
            awaited[1](list(awaited[0]))

    def __repr__(self) -> str:
        return f"<Confirmations of {len(self._awaited)} events>"
