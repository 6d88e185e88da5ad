"""Receipts: what a publisher gets back."""

from __future__ import annotations

import msgspec


class Receipt(msgspec.Struct, frozen=True):
    """What a publisher gets back: the event's id, its RFC 3339 time and its index in the namespace."""

    id: str
    created_at: str
    index: int
