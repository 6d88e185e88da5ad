"""Quotas: how many bytes a namespace may have before its publishers are refused.

    bytes of the log   ├──── stored ────┤─ on their way ─┤──── room ────┤
                       0                                              quota

Frames count as they gather, segments as they are: a log has a little more than its frames. So what is left is measured
anew after each commit and each deletion, and may be exceeded by what was taken in together.
"""

from __future__ import annotations

import logging

from bus.errors import QuotaExceededError
from bus.storage.log import Log
from bus.units import format_size

log = logging.getLogger("bus.engine")


class Quota:
    """At most so many bytes of *store*, the log of the namespace *name*; None for *most* is no limit.

    ``room`` is how many bytes of frames may gather, *gathered* at most.
    """

    __slots__ = ("_gathered", "_is_used_up", "_left", "_name", "_store", "most", "room")

    def __init__(self, name: str, store: Log, most: int | None, *, gathered: int) -> None:
        self.most = most
        self.room = gathered
        self._gathered = gathered
        self._is_used_up = False
        self._left = 0
        self._name = name
        self._store = store
        self.measure()

    def change(self, most: int | None) -> None:
        """Have *most* hold from now on."""
        self.most = most
        if most is None:
            self.room, self._is_used_up = self._gathered, False
        self.measure()

    def take(self, size: int) -> None:
        """So many bytes are on their way to the log, which has a limit."""
        self._left -= size
        self.room = min(self._gathered, self._left)

    def measure(self) -> None:
        """The log has grown or shrunk."""
        if self.most is None:
            return
        self._left = self.most - self._store.size
        self.room = min(self._gathered, self._left)
        if self._is_used_up is not (self._left <= 0):
            self._is_used_up = not self._is_used_up
            self._tell()

    def _tell(self) -> None:
        if self._is_used_up:
            log.warning("%s", self.refusal())
        else:
            log.info("namespace %s is within its quota again, and takes events", self._name)

    def refusal(self) -> QuotaExceededError:
        """What publishers are told when there is no room."""
        return QuotaExceededError(
            f"namespace {self._name} has the {format_size(self.most or 0)} that it may: "
            "it takes events again when some are deleted, or with a larger quota"
        )

    def __repr__(self) -> str:
        return f"<Quota of {self._name}: {self._left} of {self.most} bytes left>"
