"""A draft that was checked: what all engines store."""

from __future__ import annotations

Key = tuple[str, str]
"""A subject and the key of an event on it."""


class CheckedDraft:
    """A draft found to be in order: nothing about it can be refused any more.

    *time* is in ns, and so is *expires*, from when on it isn't delivered; None for never. *core* says that it has none
    of the younger fields that `bus.frame` tells of.
    """

    __slots__ = ("core", "event_id", "expires", "extra", "key", "payload", "subject", "time")

    def __init__(
        self,
        subject: bytes,
        payload: bytes,
        time: int,
        event_id: str = "",
        extra: bytes = b"",
        key: Key | None = None,
        expires: int | None = None,
        core: bool = True,
    ) -> None:
        self.subject = subject
        self.payload = payload
        self.time = time
        self.event_id = event_id
        self.extra = extra
        self.key = key
        self.expires = expires
        self.core = core

    def __repr__(self) -> str:
        return f"<CheckedDraft on {self.subject.decode()}, {len(self.payload)} bytes>"
