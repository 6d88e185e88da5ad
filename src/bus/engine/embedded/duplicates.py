"""The duplicate window: the keys processed lately, so that publishing twice stores once.

    free ──claim──▶ claimed ──store──▶ used ──(window moves on)──▶ free
                       └────release────▶ free

A key is claimed while its event is on its way to the disk and used only once it is stored. Who comes
with a claimed key has to wait for what becomes of the claim. A key counts together with the subject it came with.

The window moves on by number and by time. A key is free again when

1. it is older than ``ttl``, if there is one; or
2. ``size`` keys were used after it, and `FLOOR` has passed: a publisher that got no answer sends again for so
   long, however many others publish meanwhile; or
3. `size` keys were used after it, and all take more memory than `MOST_KEY_BYTES`: the log says so.

A window of size 0 is none at all, and neither is one that is suspended: it takes every key.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence

from bus.engine.checked_draft import Key
from bus.errors import DuplicateKeyError
from bus.event import Receipt
from bus.frame import read_frame, split_frames
from bus.storage.log import Log
from bus.units import SECOND_NS, format_duration

log = logging.getLogger("bus.engine")

FLOOR = 60 * SECOND_NS
"""How long a key is remembered at least, in ns: well above the time that clients go on trying."""

MOST_KEY_BYTES = 128 * 1024 * 1024
"""Memory that keys may take beyond the first ``size``, estimated."""

KEY_BYTES = 640
"""What a key takes beside its own text and that of its subject: a receipt, a time, a place in the table."""


class Duplicates:
    """The window of the namespace *name*."""

    __slots__ = ("_bytes", "_claimed", "_is_suspended", "_name", "_size", "_ttl", "_used", "_warned")

    def __init__(self, name: str, *, size: int, ttl: float | None) -> None:
        self._name = name
        self._size = size
        self._ttl = None if ttl is None else int(ttl * SECOND_NS)
        self._used: OrderedDict[Key, tuple[Receipt, int]] = OrderedDict()
        self._claimed: set[Key] = set()
        self._bytes = 0
        self._warned = 0
        self._is_suspended = False

    @property
    def oldest(self) -> int | None:
        """The index of the first event whose key is in the window; None if there is none."""
        return next((receipt.index for receipt, _ in self._used.values()), None)

    def suspend(self, suspended: bool) -> None:
        """Take every key and remember none from now on, or no longer."""
        self._is_suspended = suspended
        if suspended:
            self._used.clear()
            self._bytes = 0

    def first(self, key: Key, *, now: int) -> Receipt | None:
        """The receipt of the event that used *key*, if it is still in the window at *now* (ns)."""
        used = self._used.get(key)
        if used is None:
            return None
        receipt, since = used
        if self._ttl is None or now - since < self._ttl:
            return receipt
        self._forget(key)
        return None

    def claim(self, keys: Sequence[Key], *, now: int) -> bool:
        """Claim all of *keys* at *now* (ns); False if one of them is claimed, and none is then.

        Raises `DuplicateKeyError` if one was used, or is among them twice.
        """
        if self._is_suspended:
            return True
        if len(set(keys)) < len(keys):
            raise DuplicateKeyError("key was processed before: the batch holds it twice")
        for key in keys:
            if first := self.first(key, now=now):
                raise DuplicateKeyError(receipt=first)
        if not self._claimed.isdisjoint(keys):
            return False
        self._claimed.update(keys)
        return True

    def release(self, key: Key) -> None:
        """The event of this key was not stored."""
        self._claimed.discard(key)

    def store(self, key: Key, receipt: Receipt, *, now: int) -> None:
        """The event of this key is stored since *now* (ns)."""
        self._claimed.discard(key)
        if not self._size or self._is_suspended:
            return
        if key in self._used:
            self._forget(key)
        self._used[key] = receipt, now
        self._bytes += KEY_BYTES + len(key[0]) + len(key[1])
        while len(self._used) > self._size and self._may_forget_oldest(now):
            self._forget(next(iter(self._used)))

    def _may_forget_oldest(self, now: int) -> bool:
        _, since = self._used[next(iter(self._used))]
        if now - since >= FLOOR:
            return True
        if self._bytes <= MOST_KEY_BYTES:
            return False
        self._warn(now - since, now)
        return True

    def _warn(self, age: int, now: int) -> None:
        if now - self._warned >= FLOOR:
            self._warned = now
            log.warning(
                "namespace %s: keys are forgotten %s after their use: more come than the duplicate window's "
                "memory holds",
                self._name, format_duration(age / SECOND_NS),
            )  # fmt: skip

    def _forget(self, key: Key) -> None:
        del self._used[key]
        self._bytes -= KEY_BYTES + len(key[0]) + len(key[1])

    def refill(self, newest_first: Iterable[tuple[Key, Receipt, int]], *, now: int) -> None:
        """Take up, at *now* (ns), those of the keys used before that belong into the window."""
        found: dict[Key, tuple[Receipt, int]] = {}
        weight = 0
        for key, receipt, time in newest_first:
            if len(found) >= self._size and (not self._size or now - time >= FLOOR or weight > MOST_KEY_BYTES):
                break
            if key not in found:
                found[key] = receipt, time
                weight += _weight(key)
        for key, (receipt, time) in reversed(found.items()):
            self.store(key, receipt, now=min(time, now))

    def __len__(self) -> int:
        return len(self._used)

    def __repr__(self) -> str:
        return f"<Duplicates {len(self._used)} keys used, {len(self._claimed)} claimed>"


def _weight(key: Key) -> int:
    return KEY_BYTES + len(key[0]) + len(key[1])


def stored_keys(store: Log) -> Iterator[tuple[Key, Receipt, int]]:
    """The keys of the events in *store*, newest first: each with its receipt, and the time of its batch (ns)."""
    for batch in store.keyed_batches():
        events = list(map(read_frame, filter(None, split_frames(batch.frames, batch.lengths))))
        for event in reversed(events):
            if event.key:
                yield (event.subject, event.key), Receipt(event.id, event.created_at, event.index), batch.time
