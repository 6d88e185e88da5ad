"""The duplicate window: the keys processed lately, so that publishing twice stores once.

    free ──claim──▶ claimed ──store──▶ used ──(window moves on)──▶ free
                       └────release────▶ free

A key is claimed while its event is on its way to the disk and used only once it is stored. Who comes
with a claimed key has to wait for what becomes of the claim. The window holds the last ``size`` keys,
each for ``ttl`` seconds at most; a key counts together with the subject it came with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from bus.event import Receipt
from bus.storage.batch import Batch
from bus.storage.log import Log
from bus.units import SECOND_NS
from bus.wire import json_of

Key = tuple[str, str]
"""A subject and the key of an event on it."""


class Duplicates:
    """The window of one namespace."""

    __slots__ = ("_claimed", "_size", "_ttl", "_used")

    def __init__(self, *, size: int, ttl: float | None) -> None:
        self._size = size
        self._ttl = None if ttl is None else int(ttl * SECOND_NS)
        self._used: dict[Key, tuple[Receipt, int]] = {}
        self._claimed: set[Key] = set()

    def first(self, key: Key, *, now: int) -> Receipt | None:
        """The receipt of the event that used *key*, if it is still in the window at *now* (ns)."""
        used = self._used.get(key)
        if used is None:
            return None
        receipt, since = used
        if self._ttl is None or now - since < self._ttl:
            return receipt
        del self._used[key]
        return None

    def is_claimed(self, key: Key) -> bool:
        return key in self._claimed

    def claim(self, keys: Iterable[Key]) -> None:
        self._claimed.update(keys)

    def release(self, key: Key) -> None:
        """The event of this key was not stored."""
        self._claimed.discard(key)

    def store(self, key: Key, receipt: Receipt, *, now: int) -> None:
        """The event of this key is stored since *now* (ns)."""
        self._claimed.discard(key)
        self._used.pop(key, None)
        self._used[key] = receipt, now
        if len(self._used) > self._size:
            del self._used[next(iter(self._used))]

    @property
    def room(self) -> int:
        """How many more keys the window takes before it forgets its oldest."""
        return self._size - len(self._used)

    def __len__(self) -> int:
        return len(self._used)

    def __repr__(self) -> str:
        return f"<Duplicates {len(self._used)} of {self._size} keys used, {len(self._claimed)} claimed>"


class _Stored(msgspec.Struct):
    id: str
    subject: str
    created_at: str
    index: int
    key: str = ""


_stored = msgspec.json.Decoder(_Stored)


def refill(duplicates: Duplicates, store: Log, *, now: int) -> None:
    """Mark the keys of the newest keyed events as used, as many as the window holds at *now* (ns).

    A key counts from the time of its batch, as it did when it was stored.
    """
    newest: dict[Key, tuple[Receipt, int]] = {}
    for event, time in _keyed_events(store):
        receipt = Receipt(event.id, event.created_at, event.index)
        newest.setdefault((event.subject, event.key), (receipt, time))
        if len(newest) >= duplicates.room:
            break
    for key, (receipt, time) in reversed(newest.items()):
        duplicates.store(key, receipt, now=min(time, now))


def _keyed_events(store: Log) -> Iterator[tuple[_Stored, int]]:
    for batch in store.keyed_batches():
        yield from ((event, batch.time) for event in reversed(_events(batch)) if event.key)


def _events(batch: Batch) -> list[_Stored]:
    return [_stored.decode(json_of(batch.frame(index))) for index in range(batch.first, batch.next)]
