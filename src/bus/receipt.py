"""Receipts: what a publisher gets back."""

from __future__ import annotations

import msgspec


class Receipt(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What a publisher gets back.

    Attributes:
        id: the event's id.
        created_at: its time, RFC 3339 in UTC.
        index: its place in its namespace: 1, 2, 3 …
        schedule_id: of an event that is published later, which has neither time nor index yet: its schedule's id.
    """

    id: str
    created_at: str
    index: int
    schedule_id: str = ""
