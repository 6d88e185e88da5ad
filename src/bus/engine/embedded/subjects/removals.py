"""What is removed from a log, as far as it is counted still.

removing ─▶ dropped, rewritten ─▶ pending ─▶ taken out of the rows
        └─▶ nothing was removed, or nobody knows what
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from bus.engine.embedded.subjects.counting import count_in_segments
from bus.storage.rewriting import Gone, Rewritten
from bus.storage.segment import Segment

Removal = Callable[[int], Mapping[bytes, Gone] | None]
"""What was removed of the events before an index, by subject; None if that can't be told."""


class Removals:
    """Removals that are under way, and those that are done; ``begun`` counts all of them."""

    def __init__(self) -> None:
        self.begun = 0
        self.done: list[Removal] = []
        self._under_way = 0

    @property
    def under_way(self) -> bool:
        """Whether something is being removed, so that nobody knows what the log holds."""
        return self._under_way > 0

    def begin(self) -> None:
        """Part of the log is about to be removed."""
        self.begun += 1
        self._under_way += 1

    def end(self) -> None:
        """It wasn't, or nobody knows what was."""
        self._under_way -= 1

    def dropped(self, segments: Sequence[Segment]) -> None:
        """*segments*, the oldest ones, were removed as a whole."""
        self.end()
        self.done.append(partial(count_in_segments, segments))

    def rewritten(self, found: Rewritten) -> None:
        """Segments were replaced by one without some of their events."""
        self.end()
        self.done.append(partial(_gone_of, found))

    def __repr__(self) -> str:
        return f"<Removals, {self._under_way} under way, {len(self.done)} done>"


def _gone_of(found: Rewritten, upto: int) -> Mapping[bytes, Gone] | None:
    """What was taken out of segments, unless they were counted in part."""
    if found.segment.first < upto < found.segment.next:
        return None
    return found.gone if found.segment.next <= upto else {}
