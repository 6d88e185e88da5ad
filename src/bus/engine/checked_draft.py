"""A draft that was checked: what all engines store."""

from __future__ import annotations

import msgspec

Key = tuple[str, str]
"""A subject and the key of an event on it."""


class CheckedDraft(msgspec.Struct, frozen=True, gc=False):
    """A draft found to be in order: nothing about it can be refused any more.

    ``time`` is in ns, and so is ``expires``, from when on it isn't delivered; None for never.
    """

    subject: bytes
    payload: bytes
    time: int
    event_id: str = ""
    extra: bytes = b""
    key: Key | None = None
    expires: int | None = None
