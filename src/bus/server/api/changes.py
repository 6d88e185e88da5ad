"""What is told to those who watch a server: everything at first, then the rows that have changed.

    counted ─▶ rows that are as before become the same objects ─▶ told before?  no: all rows, "full": true
                                                                              yes: rows that are others, and gone

A consumer that nothing happens to costs a watcher nothing, however many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

import msgspec

from bus.access.rights import Rights
from bus.consumer import ConsumerDescription
from bus.namespace import NamespaceDescription
from bus.overview import ServerCounts
from bus.server.api.counting import Counts
from bus.units import format_time

_Row = TypeVar("_Row", NamespaceDescription, ConsumerDescription)


class Gone(msgspec.Struct, frozen=True, omit_defaults=True):
    """The names of what isn't there any more."""

    namespaces: list[str] = []
    consumers: list[str] = []


class Changes(msgspec.Struct, frozen=True, omit_defaults=True):
    """What has changed since a watcher was told last, or all there is if ``full``; ``server`` for who may measure."""

    time: str
    full: bool = False
    server: ServerCounts | None = None
    namespaces: list[NamespaceDescription] = []
    consumers: list[ConsumerDescription] = []
    gone: Gone | None = None


def compared(before: Counts, now: Counts) -> Counts:
    """*now*, where every row that is as *before* is the same object."""
    return replace(
        now,
        namespaces=_compared(before.namespaces, now.namespaces),
        consumers=_compared(before.consumers, now.consumers),
    )


def _compared(before: Mapping[str, _Row], now: Mapping[str, _Row]) -> Mapping[str, _Row]:
    return {name: old if (old := before.get(name)) == row and old is not None else row for name, row in now.items()}


def changes(before: Counts | None, now: Counts, rights: Rights) -> Changes:
    """What somebody with *rights* is told who knows *before*, which `compared` has made *now* of; None is nothing."""

    def sees(consumer: ConsumerDescription) -> bool:
        return rights.admin or rights.may_see(consumer.name, consumer.patterns)

    def knows(namespace: NamespaceDescription) -> bool:
        return rights.may_know(namespace.namespace)

    old = before or Counts(now.time, now.server, {}, {})
    gone = Gone(_gone(old.namespaces, now.namespaces, knows), _gone(old.consumers, now.consumers, sees))
    return Changes(
        time=format_time(now.time),
        full=before is None,
        server=now.server if rights.may_measure else None,
        namespaces=_changed(old.namespaces, now.namespaces, knows),
        consumers=_changed(old.consumers, now.consumers, sees),
        gone=gone if gone.namespaces or gone.consumers else None,
    )


def _changed(before: Mapping[str, _Row], now: Mapping[str, _Row], visible: Callable[[_Row], bool]) -> list[_Row]:
    return [row for name, row in now.items() if before.get(name) is not row and visible(row)]


def _gone(before: Mapping[str, _Row], now: Mapping[str, _Row], visible: Callable[[_Row], bool]) -> list[str]:
    return [name for name in before.keys() - now.keys() if visible(before[name])]
