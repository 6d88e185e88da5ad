"""How far a subscription has come, and so where its next connection goes on.

durable consumer       the server knows
ack=none               after the last event received (Last-Event-ID)
ack=manual             at the oldest event that is not settled yet (start=index), because the consumer
                       and what was in flight ended with the connection
nothing received yet   where the first connection began, which its `open` event told; but with start="last" what that
                       begins with is still to come, so it is asked for again
"""

from __future__ import annotations

import re

from bus.client.core.get_options import GetOptions
from bus.client.core.request import Parameters
from bus.client.core.stream_notices import Gap

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)


class ResumePosition:
    """Where a subscription with *options* is."""

    def __init__(self, options: GetOptions) -> None:
        self.options = options
        self._received = 0
        self._last: tuple[int, str] = 0, ""
        self._began: int | None = None
        self._window: dict[int, bool] = {}  # received index → settled; its first one is not settled

    # -- what happens

    def open(self, next_index: int | None) -> None:
        if self._began is None:
            self._began = next_index

    def receive(self, count: int) -> None:
        """So many events more were received; fewer, if they will come again."""
        self._received += count

    def reach(self, index: int, event_id: str) -> None:
        """The last event received; one that can't be read may have no index."""
        if index > self._last[0] or not index:
            self._last = max(index, self._last[0]), event_id

    def skip(self, gap: Gap) -> None:
        self._began, self._last = gap.next_index, (0, "")

    def await_settled(self, index: int) -> None:
        if not self.options.durable:
            self._window.setdefault(index, False)

    def settle(self, index: int) -> None:
        if index in self._window:
            self._window[index] = True
            while self._window and self._window[first := next(iter(self._window))]:
                del self._window[first]

    def is_settled(self, index: int) -> bool:
        """Whether the event was settled before, behind one that is not."""
        return self._window.get(index, False)

    # -- where that is

    @property
    def complete(self) -> bool:
        """Whether as many events as were asked for are settled."""
        return self.options.limit is not None and self._received - len(self._window) >= self.options.limit

    def target(self, *, worker: str) -> tuple[Parameters, str]:
        """What the next connection asks for: parameters and the id to resume after."""
        limit = None if self.options.limit is None else self.options.limit - self._received + len(self._window)
        start, last_event_id = self._start()
        return self.options.parameters(start=start, limit=limit, worker=worker), last_event_id

    def _start(self) -> tuple[int | None, str]:
        if self.options.durable:
            return None, ""
        if self._window:
            return next(iter(self._window)), ""
        index, event_id = self._last
        if _ID.fullmatch(event_id):
            return None, event_id
        if not index and self.options.start == "last":
            return None, ""
        return (index + 1 if index else self._began), ""

    def __str__(self) -> str:
        """Where it goes on, for a person."""
        start, last_event_id = self._start()
        if self.options.durable:
            return f"where consumer {self.options.consumer} is"
        if last_event_id:
            return f"after event {last_event_id}"
        return f"at {self.options.start}" if start is None else f"at index {start}"

    def __repr__(self) -> str:
        return f"<ResumePosition {self}, {self._received} received, {len(self._window)} not settled>"
