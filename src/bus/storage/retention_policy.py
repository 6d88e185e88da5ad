"""How much of a log to keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bus.storage.segment import SegmentInfo


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """What a log is allowed to hold; a segment goes when any of the limits lets it go.

    Parameters:
        age: nanoseconds; a segment goes when its last batch is older.
        bytes: the oldest segments go while all together have more; the last one always stays.
        events: the oldest segments go as long as at least so many events are left.
    """

    age: int | None = None
    bytes: int | None = None
    events: int | None = None

    def cut(self, segments: Sequence[SegmentInfo], *, now: int) -> int:
        """The index before which a log need not keep anything, for ``Log.drop_before``.

        Parameters:
            segments: ``Log.segments``.
            now: nanoseconds since the epoch.

        Returns:
            The base of a segment, or 0 if everything is to be kept.
        """
        keep, size = 0, sum(segment.bytes for segment in segments)
        for segment in segments[:-1]:
            if not self._lets_go(segment, size=size, left=segments[-1].next - segment.next, now=now):
                break
            keep, size = segment.next, size - segment.bytes
        return keep

    def wants_roll(self, segments: Sequence[SegmentInfo], *, now: int) -> bool:
        """Whether the last segment, which always stays, is so old that a new one should follow it."""
        last = segments[-1] if segments else None
        if last is None or self.age is None:
            return False
        return last.next > last.first and last.last_time < now - self.age

    def _lets_go(self, segment: SegmentInfo, *, size: int, left: int, now: int) -> bool:
        return (
            (self.age is not None and segment.last_time < now - self.age)
            or (self.bytes is not None and size > self.bytes)
            or (self.events is not None and left >= self.events)
        )
