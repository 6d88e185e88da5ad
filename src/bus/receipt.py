"""Receipts: what a publisher gets back."""

from __future__ import annotations

import msgspec


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """What a publisher gets back.

    Attributes:
        id: the event's id.
        created_at: its time, RFC 3339 in UTC.
        index: its place in its namespace: 1, 2, 3 …
    """

    id: str
    created_at: str
    index: int
