"""What a client asks about namespaces, and how it is written."""

from __future__ import annotations

from typing import Literal
from urllib.parse import quote

import msgspec
from msgspec import UNSET, UnsetType

from bus.namespace import NamespaceDescription

PATH = "v1/namespaces"

FLAGS = "default"
"""Stands for what the server's flags say."""

CompactSetting = Literal["subject", "key", "none", "default"]


class NamespaceList(msgspec.Struct, frozen=True):
    """The namespaces of a server."""

    namespaces: list[NamespaceDescription]


class _Change(msgspec.Struct):
    """The body of a change."""

    storage: str | UnsetType
    retention: str | UnsetType | None
    max_bytes: int | str | UnsetType | None
    compact: str | UnsetType | None


def encode_change(
    *,
    storage: Literal["disk", "memory"] | None = None,
    retention: str | None = None,
    max_bytes: int | str | None = None,
    compact: CompactSetting | None = None,
) -> bytes:
    """The body that says what is to be so of a namespace; None is left out."""
    return msgspec.json.encode(
        _Change(
            storage=UNSET if storage is None else storage,
            retention=None if retention == FLAGS else UNSET if retention is None else retention,
            max_bytes=None if max_bytes == FLAGS else UNSET if max_bytes is None else max_bytes,
            compact=None if compact == FLAGS else UNSET if compact is None else compact,
        )
    )


def path_of(name: str) -> str:
    """The path of one namespace."""
    return f"{PATH}/{quote(name, safe='')}"
