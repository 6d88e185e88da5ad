"""Whoever adds up what has changed knows as much as if it were told everything each time."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from bus.access.rights import EVERYTHING, Grant, Names, Rights
from bus.consumer import ConsumerDescription
from bus.overview import ServerCounts
from bus.server.api.changes import changes, compared
from bus.server.api.counting import Counts

SERVER = ServerCounts(
    uptime=1.0,
    connections=1,
    streams=1,
    body_memory=0,
    inboxes=0,
    inbox_bytes=0,
    memory=1,
    sync_p50=None,
    sync_p99=None,
)
SOME = Rights(consumers=Names(("a*",)), subscribe=Grant.of(["app.>"]))


def _consumer(name: str, behind: int) -> ConsumerDescription:
    return ConsumerDescription(
        name=name, namespace="app", patterns=["app.>"], redelivery="5s", redelivery_count=3, order=None, next_index=1,
        behind=behind, counting=False, pending=0, in_flight=0, dead=0, connections=0, why="no connection",
    )  # fmt: skip


def _counts(found: dict[str, int]) -> Counts:
    return Counts(0, SERVER, {}, {name: _consumer(name, behind) for name, behind in found.items()})


def _add_up(known: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    kept = {} if told.get("full") else dict(known)
    for name in told.get("gone", {}).get("consumers", []):
        del kept[name]
    return kept | {row["name"]: row for row in told.get("consumers", [])}


NAMES = st.sampled_from(["a1", "a2", "b1", "b2"])


@given(st.lists(st.dictionaries(NAMES, st.integers(0, 2)), min_size=1, max_size=8), st.sampled_from([EVERYTHING, SOME]))
def test_changes_add_up_to_everything(history: list[dict[str, int]], rights: Rights) -> None:
    before: Counts | None = None
    known: dict[str, Any] = {}
    for found in history:
        now = compared(before, _counts(found)) if before else _counts(found)
        told = msgspec.to_builtins(changes(before, now, rights))
        if before and before.consumers == now.consumers:
            assert told.keys() == {"time"} | ({"server"} if rights.may_measure else set())
        known, before = _add_up(known, told), now
        everything = msgspec.to_builtins(changes(None, now, rights))
        assert known == {row["name"]: row for row in everything.get("consumers", [])}
