"""Where a consumer gets new events from: the log, or whoever hands out a log to several servers."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable
from typing import Protocol

from bus.engine.namespace import Newest


class Feed(Protocol):
    """New events one by one, fetched some at a time. `LogCursor` says what each of these means."""

    handed: int
    skipped: int

    @property
    def cursor(self) -> int:
        """The index to go on from."""

    @property
    def waits(self) -> bool:
        """Whether `await_newest` tells when there is more to take."""

    @property
    def newest_until(self) -> int:
        """The index before which only the newest event of each subject is handed out; 0 for none."""

    @property
    def used_up(self) -> bool:
        """Whether nothing of what was fetched is left."""

    @property
    def is_at_end(self) -> bool:
        """Whether there is nothing to fetch before the next commit."""

    def bring(self) -> Future[None] | None:
        """What to wait for before `fetch`; None if that answers at once."""

    def fetch(self) -> bool:
        """Fetch more; False if there is none as yet."""

    def take(self) -> tuple[int, bytes] | None:
        """Index and frame of the next event among those fetched, None when they are used up."""

    def put_back(self, index: int, frame: bytes) -> None:
        """Hand this event, the last one taken, out again."""

    def forget_fetched(self) -> None:
        """Fetch again what was fetched and not taken yet."""

    def look_again(self) -> None:
        """Some events were deleted."""

    def newest_from(self, index: int) -> Newest:
        """Subjects whose newest event is yet to be handed out."""

    def await_newest(self, then: Callable[[], None]) -> None:
        """Call *then* when there may be more to take."""
