"""A lock for who works piece by piece, and lets others in between.

    holds it, lets go, wants it again ──▶ door ──▶ lock       who waits for the lock stands in the door,
    waits for it ──────────────────────────────────▲          so nobody overtakes

A `threading.Lock` goes to whoever asks first once it is free. That is who just had it: a thread that waits has to be
woken, and comes too late piece after piece.
"""

from __future__ import annotations

from threading import Lock


class FairLock:
    """Whoever waits for it has it before who lets it go and takes it again."""

    def __init__(self) -> None:
        self._door = Lock()
        self._held = Lock()

    def __enter__(self) -> None:
        with self._door:
            self._held.acquire()

    def __exit__(self, *failure: object) -> None:
        self._held.release()

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for it, or is just taking it."""
        return self._door.locked()

    def __repr__(self) -> str:
        awaited = ", awaited" if self.is_awaited else ""
        return f"<FairLock, {'held' if self._held.locked() else 'free'}{awaited}>"
