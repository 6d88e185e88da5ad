"""Which events compaction deletes: those that are superseded, and tombstones whose time is over.

     first                cleaned                    until                 next
       ├─ one each identity ─┼── any number of each ───┼── not looked at ───┤
                             └── table: the latest ────┘

Before ``cleaned`` an earlier pass has left one event of each identity, so the table has to have only what came since.
An event is superseded if the table has a later index for its identity. A tombstone (an event whose payload is null) is
the newest of its identity, and goes when it is old enough, for all before it has gone already: segments are written
anew from the oldest on, and each is durable before the next.

Events whose keys are in the duplicate window stay, because it is made of them when the server starts. The identities
of those that are superseded are ``held``: a tombstone must not go before them, nor may a later pass forget them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from bus.engine.embedded.compaction.identities import Identities, Identity
from bus.engine.embedded.compaction.latest_indexes import LatestIndexes
from bus.frame import NULL_PAYLOAD, has_null_payload, key_of, split_frames
from bus.storage.batch import Batch


@dataclass(slots=True, kw_only=True)
class Superseded:
    """Says of a batch which events are to be deleted.

    Parameters:
        identities: what events stand for.
        latest: the latest index of each identity, as far as it was looked.
        until: the index up to which that is.
        stale: tombstones stored before this time (ns) go.
        window: the index from which on events may have a key in the duplicate window.
        held: superseded identities that stay, with their latest indexes.
    """

    identities: Identities
    latest: LatestIndexes
    until: int
    stale: int
    window: int
    held: dict[bytes, int] = field(default_factory=dict)

    def __call__(self, batch: Batch) -> Collection[int]:
        if batch.first >= self.until or batch.is_run:
            return ()
        identities = self.identities.of(batch)
        gone = self._superseded(batch, identities)
        for index in self._with_known_keys(batch, gone):
            gone.discard(index)
            self._hold(identities[index - batch.first])
        if batch.time < self.stale and NULL_PAYLOAD in batch.frames:
            tombstones = set(self._tombstones(batch, identities))
            gone |= tombstones.difference(self._with_known_keys(batch, tombstones))
        return gone

    def _superseded(self, batch: Batch, identities: Sequence[Identity]) -> set[int]:
        rested, latest = self.identities.rested, self.latest
        later = {identity: latest.get(identity) if identity else 0 for identity in rested(set(identities))}
        return {index for index, identity in enumerate(identities, batch.first) if later[identity] > index}

    def _with_known_keys(self, batch: Batch, indexes: Collection[int]) -> list[int]:
        """Those of *indexes* whose keys may be in the duplicate window."""
        if not batch.keyed or batch.next <= self.window:
            return []
        return [index for index in indexes if index >= self.window and key_of(batch.frame(index))]

    def _hold(self, identity: Identity) -> None:
        if identity:
            self.held[identity] = self.latest.get(identity)

    def _tombstones(self, batch: Batch, identities: Sequence[Identity]) -> Iterator[int]:
        frames = split_frames(batch.frames, batch.lengths)
        for index, frame in enumerate(self.identities.rested(frames), batch.first):
            identity = identities[index - batch.first]
            if identity and identity not in self.held and has_null_payload(frame):
                yield index
