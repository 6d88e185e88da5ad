"""What events stand for: those of one identity supersede each other.

It is the subject of an event, or its subject and key, as a digest. Dead letters stand for themselves, and so do events
without a key where the key counts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from typing import TypeVar

from bus.engine.embedded.compaction.latest_indexes import DIGEST_BYTES
from bus.frame import key_of, split_frames
from bus.namespace import Compact
from bus.storage.batch import NO_SUBJECT, Batch
from bus.subject import DEAD_SEGMENT

Identity = bytes | None
"""None for an event that stands for itself."""

PIECE = 64
"""Events that are looked at between two rests."""

T = TypeVar("T")


class Identities:
    """The identities of the events of *namespace*; *rest* is called after every few events."""

    def __init__(self, namespace: str, compact: Compact, rest: Callable[[], None]) -> None:
        self.compact = compact
        self._letters = f"{namespace}.{DEAD_SEGMENT}.".encode()
        self._rest = rest
        self._secret = os.urandom(DIGEST_BYTES)

    def of(self, batch: Batch) -> Sequence[Identity]:
        """The identity of each event of *batch*; those that are deleted have none."""
        if self.compact is Compact.KEY:
            return list(self._with_keys(batch)) if batch.keyed else [None] * batch.count
        names = [self._digest(subject) for subject in self.rested(batch.subjects)]
        return [names[number] for number in batch.which] if batch.which else names * batch.count

    def rested(self, each: Iterable[T]) -> Iterator[T]:
        """*each*, with a rest after every few."""
        left = iter(each)
        while piece := list(islice(left, PIECE)):
            self._rest()
            yield from piece

    def _with_keys(self, batch: Batch) -> Iterator[Identity]:
        frames = split_frames(batch.frames, batch.lengths)
        for index, frame in enumerate(self.rested(frames), batch.first):
            key = key_of(frame) if frame else ""
            yield self._digest(batch.subject(index) + b"\0" + key.encode()) if key else None

    def _digest(self, name: bytes) -> Identity:
        if name == NO_SUBJECT or name.startswith(self._letters):
            return None
        return blake2b(name, digest_size=DIGEST_BYTES, key=self._secret).digest()

    def __repr__(self) -> str:
        return f"<Identities by {self.compact}>"
