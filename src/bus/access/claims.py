"""Claims: whose an inbox is. It belongs to who named it first: who subscribed to it, or asked for a reply there.

    claim ─▶ the owner's ──── as many newer ones of the same owner ────▶ nobody's

Each owner has so many inboxes and forgets its own oldest, so that nobody can make others lose theirs.
"""

from __future__ import annotations

MOST = 4096
"""Inboxes that one owner has."""


class Claims:
    """The owners of inboxes."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._owners: dict[str, str] = {}
        self._inboxes: dict[str, dict[str, None]] = {}

    def claim(self, inbox: str, owner: str) -> bool:
        """Have *inbox* belong to *owner*, whose newest it is; False if it is another's."""
        if self._owners.setdefault(inbox, owner) != owner:
            return False
        own = self._inboxes.setdefault(owner, {})
        own.pop(inbox, None)
        own[inbox] = None
        if len(own) > self._most:
            self._forget(own)
        return True

    def _forget(self, own: dict[str, None]) -> None:
        oldest = next(iter(own))
        del own[oldest]
        del self._owners[oldest]

    def __len__(self) -> int:
        return len(self._owners)

    def __repr__(self) -> str:
        return f"<Claims to {len(self)} inboxes by {len(self._inboxes)} owners>"
