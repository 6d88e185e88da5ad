"""What a client asks about namespaces, and what it is told."""

from __future__ import annotations

from typing import Literal
from urllib.parse import quote

import msgspec

PATH = "v1/namespaces"


class Namespace(msgspec.Struct, frozen=True):
    """A namespace of a server, at a glance.

    Attributes:
        namespace: its name.
        first_index: the index of its oldest event.
        next_index: the index that its next event gets.
        events: how many it holds.
        bytes: what they take, on the disk or in memory.
        segments: how many segments they are in.
        published: events that were published since the server started.
        subscribers: its open streams.
        delivered_bytes: what its streams got since the server started.
        keys: deduplication keys that are remembered.
        writable: whether it takes events.
        storage: ``"disk"`` or ``"memory"``.
        quota: bytes that it may have, None for no limit.
    """

    namespace: str
    first_index: int
    next_index: int
    events: int
    bytes: int
    segments: int
    published: int
    subscribers: int
    delivered_bytes: int
    keys: int
    writable: bool
    storage: Literal["disk", "memory"]
    quota: int | None


class NamespaceList(msgspec.Struct, frozen=True):
    """The namespaces of a server."""

    namespaces: list[Namespace]


def path_of(name: str) -> str:
    """The path of one namespace."""
    return f"{PATH}/{quote(name, safe='')}"
