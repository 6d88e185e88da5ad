"""How far a log is compacted, in memory and beside the log.

    compacted.json    {"compact": "subject", "cleaned": 4711, "left": 8388608, "segments": "a digest, in hex"}

The file is derived and may be lost: without it the log is looked through once more. So it isn't synced. It is believed
if the log still has the segments before ``cleaned`` that it had (`LogReader.identity`): what retention, a deletion, or
a backup that was put back has changed since is found out by that.
"""

from __future__ import annotations

import logging
from asyncio import Task
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from bus.engine.embedded.compaction.identities import Identities
from bus.engine.embedded.compaction.superseded import Superseded
from bus.errors import StorageError
from bus.namespace import Compact
from bus.storage.log import Log

log = logging.getLogger("bus.engine")

COMPACTED_FILE = "compacted.json"

LEAST_BYTES = 1 << 20
"""How much a log has to grow at least before it is compacted again."""


@dataclass(slots=True)
class Progress:
    """How far the log of a namespace is compacted.

    Parameters:
        identities: what its events stand for.
        cleaned: before this index there is one event of each identity, beside those that are held.
        held: identities of which there are more, with their latest indexes.
        unheld: before this index nothing is held.
        left: bytes that the last pass left.
        doing: the pass that is under way.
    """

    identities: Identities
    cleaned: int = 0
    held: dict[bytes, int] = field(default_factory=dict)
    unheld: int = 0
    left: int = 0
    doing: Task[None] | None = None

    def advance(self, done: Superseded) -> None:
        """What *done* says is deleted."""
        self.cleaned, self.held = done.until, done.held
        self.unheld = min(done.until, done.window) if done.held else done.until

    def is_worth_it(self, store: Log) -> bool:
        """Whether the log has grown enough for another pass."""
        size = store.size
        self.left = min(self.left, size)
        return size >= max(2 * self.left, self.left + min(LEAST_BYTES, store.segment_bytes))


class _Kept(msgspec.Struct, frozen=True):
    compact: Compact
    cleaned: int
    left: int
    segments: str


def keep(progress: Progress, store: Log) -> None:
    """Keep *progress* beside the log; a disk that takes no more is no reason to stop."""
    index = progress.unheld
    kept = _Kept(progress.identities.compact, index, progress.left, store.identity(index).hex())
    try:
        if index:
            store.keep(COMPACTED_FILE, msgspec.json.encode(kept))
    except StorageError as error:
        log.warning("%s", error)


def recall(identities: Identities, store: Log) -> Progress:
    """What is kept beside the log, if it is of its segments and of the same kind of identity; else none."""
    with suppress(msgspec.MsgspecError):
        kept = msgspec.json.decode(store.kept(COMPACTED_FILE), type=_Kept)
        if kept.compact is identities.compact and _fits(kept, store):
            return Progress(identities, cleaned=kept.cleaned, unheld=kept.cleaned, left=kept.left)
    return Progress(identities)


def _fits(kept: _Kept, store: Log) -> bool:
    return 0 < kept.cleaned <= store.next and kept.segments == store.identity(kept.cleaned).hex()
