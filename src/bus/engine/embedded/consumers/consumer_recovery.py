"""Durable consumers after a start: what is written of them, made to fit the log that is there.

                 first                          next
    ───gone──────┼────────── the log ───────────┼────── never stored, or lost ──▶
       pending: dead letters without payload        cursor: back to next
                                                    pending, dead: forgotten

A log may be shorter than when a consumer was written: restored from an older copy, or its end lost in a power
cut under ``fsync=never``. The indexes beyond its end will be those of other events, so nothing written may name
them any more, on disk neither.
"""

from __future__ import annotations

from msgspec.structs import replace

from bus.engine.administration import DeadLetter
from bus.engine.embedded.consumers.consumer_store import ConsumerState


def fit(state: ConsumerState, *, next: int) -> ConsumerState:
    """*state* without what it says of events from index *next* on, where the log ends."""
    return replace(
        state,
        cursor=min(state.cursor, next),
        newest_until=min(state.newest_until, next),
        pending=[found for found in state.pending if found.index < next],
        dead=[_fit_letter(dead, next) for dead in state.dead if dead.index < next],
    )


def _fit_letter(dead: DeadLetter, next: int) -> DeadLetter:
    """A letter beyond the end is lost; what it is about may still be there."""
    return replace(dead, letter=0) if dead.letter >= next else dead


def corrections(before: ConsumerState, after: ConsumerState) -> str:
    """What `fit` changed, in a line for the log."""
    forgotten = len(before.pending) - len(after.pending), len(before.dead) - len(after.dead)
    return (
        f"consumer {before.name}: the log of namespace {before.namespace} is shorter than when it was written: "
        f"it goes on with event {after.cursor} instead of {before.cursor}; "
        f"{forgotten[0]} pending and {forgotten[1]} dead beyond the end are forgotten"
    )
