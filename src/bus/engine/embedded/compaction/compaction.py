"""Compacting logs: when, and in which steps.

    loop      the log has twice what the last pass left? ─▶ close the active segment
    thread    what is new ─▶ table of the latest indexes, as much as it holds         ┐ until all that is
    thread    closed segments, oldest first: write anew without what is superseded    ┘ new is looked at
    loop      consumers look again

So a log has up to about twice what it keeps, and for each byte that is published about one is written again. Only
closed segments count, for they are durable: were the newer of two events lost in a crash, the older must still be
there. A pass that breaks off, or a crash, leaves a log with less to do. How far the last pass came is kept beside the
log (``progress.py``), so that what it has looked at isn't looked at again after a start.
Neighbours of which little is left become one segment, so that their number stays within bounds.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import AbstractEventLoop

from bus.engine.embedded.compaction.identities import Identities
from bus.engine.embedded.compaction.latest_indexes import LatestIndexes
from bus.engine.embedded.compaction.progress import Progress, keep, recall
from bus.engine.embedded.compaction.superseded import Superseded
from bus.engine.embedded.log_namespace import LogNamespace
from bus.engine.embedded.rewriter import Replaced, Rewriter
from bus.engine.guard import as_bus_error
from bus.errors import StoppingError
from bus.namespace import Compact
from bus.storage.log import Log
from bus.storage.rewriting import Rewritten
from bus.storage.segment import SegmentInfo
from bus.units import SECOND_NS, format_size

log = logging.getLogger("bus.engine")

SLOTS = 1 << 20
"""Of a table: 24 MiB, for 786,432 identities at a time."""


class Compaction:
    """Compacts namespaces by means of *rewriter*; *grace* is how long tombstones stay, in seconds."""

    def __init__(self, rewriter: Rewriter, loop: AbstractEventLoop, *, grace: float, slots: int = SLOTS) -> None:
        self._rewriter = rewriter
        self._loop = loop
        self._grace = int(grace * SECOND_NS)
        self._slots = slots
        self._progress: dict[LogNamespace, Progress] = {}

    def look(self, namespace: LogNamespace, *, now: int) -> None:
        """Begin to compact *namespace*, if that is wanted and worth it. *now* is in ns."""
        if namespace.compact is None:
            self._progress.pop(namespace, None)
            return
        progress = self._progress_of(namespace, namespace.compact)
        if progress.doing is None and not namespace.failure and progress.is_worth_it(namespace.store):
            progress.doing = self._loop.create_task(self._run(namespace, progress, now))

    def _progress_of(self, namespace: LogNamespace, compact: Compact) -> Progress:
        found = self._progress.get(namespace)
        if found is None or found.identities.compact is not compact:
            identities = Identities(namespace.name, compact, self._rewriter.pace)
            found = self._progress[namespace] = recall(identities, namespace.store)
        return found

    async def _run(self, namespace: LogNamespace, progress: Progress, now: int) -> None:
        try:
            await self._compact(namespace, progress, now=now)
        except StoppingError:
            return
        except Exception as error:
            if namespace.failure:  # it was told already, or it is served no more
                return
            told = as_bus_error(error, f"compacting namespace {namespace.name}")
            log.error("namespace %s is not compacted: %s", namespace.name, told)
        progress.doing, progress.left = None, namespace.store.size
        self._rewriter.forget(namespace)
        keep(progress, namespace.store)

    async def compact(self, namespace: LogNamespace, compact: Compact, *, now: int) -> None:
        """Compact *namespace* once, whatever it holds. Raises a `StorageError`."""
        progress = self._progress_of(namespace, compact)
        await self._compact(namespace, progress, now=now)
        progress.left = namespace.store.size
        self._rewriter.forget(namespace)
        keep(progress, namespace.store)

    async def _compact(self, namespace: LogNamespace, progress: Progress, *, now: int) -> None:
        await self._rewriter.between_commits(namespace, namespace.store.roll)
        end = max((segment.next for segment in _closed(namespace.store)), default=0)
        before = namespace.compacted_bytes
        is_done = False
        while not is_done:
            doomed = await asyncio.to_thread(self._look_through, namespace, progress, end, now)
            await self._rewrite(namespace, doomed)
            progress.advance(doomed)
            is_done = progress.cleaned >= end
        namespace.compactions += 1
        freed = namespace.compacted_bytes - before
        log.info("namespace %s: compacted up to event %d, %s less", namespace.name, end, format_size(freed))

    def _look_through(self, namespace: LogNamespace, progress: Progress, end: int, now: int) -> Superseded:
        """Make the table of what is new, as far as it holds that; on a thread."""
        latest = LatestIndexes(max(self._slots, 1 << (2 * len(progress.held)).bit_length()))
        for identity, index in progress.held.items():
            latest.put(identity, index)
        until = _note_all(namespace.store, latest, progress, end)
        return Superseded(
            identities=progress.identities, latest=latest, until=until, stale=now - self._grace,
            window=namespace.oldest_key,
        )  # fmt: skip

    async def _rewrite(self, namespace: LogNamespace, doomed: Superseded) -> None:
        """Write all closed segments anew that have something superseded, oldest first."""
        at = 0
        while True:
            async with self._rewriter.turn:
                if namespace.failure:
                    raise namespace.failure
                group = neighbours(namespace.store, at, doomed.until)
                if not group:
                    return
                done = await self._rewriter.rewrite(namespace, group, doomed, merge=True)
            if isinstance(done, Rewritten):
                namespace.compacted_bytes += done.freed
                at = done.segment.next
            elif done is Replaced.UNCHANGED:
                at = group[0].next

    def forget(self, namespace: LogNamespace) -> None:
        """It is served no more."""
        self._progress.pop(namespace, None)

    def stop(self) -> None:
        """Stop what is under way; nothing is begun from now on."""
        self._rewriter.pace.stop()
        for namespace, progress in self._progress.items():
            if not namespace.failure:
                keep(progress, namespace.store)

    def __repr__(self) -> str:
        busy = [namespace.name for namespace, progress in self._progress.items() if progress.doing]
        return f"<Compaction, busy with {', '.join(busy) or 'nothing'}>"


def _note_all(store: Log, latest: LatestIndexes, progress: Progress, end: int) -> int:
    """Note the latest index of each identity from where the log is cleaned up to *end*, or until the table is full."""
    identities = progress.identities
    for segment in _closed(store):
        if segment.next <= progress.cleaned or segment.first >= end:
            continue
        for batch in store.batches(segment):
            if batch.next <= progress.cleaned or batch.is_run:
                continue
            newest = dict(zip(identities.of(batch), range(batch.first, batch.next), strict=True))
            for identity, index in identities.rested(newest.items()):
                if identity:
                    latest.put(identity, index)
            if latest.is_full:
                return batch.next
    return end


def neighbours(store: Log, at: int, until: int) -> list[SegmentInfo]:
    """The closed segments from the index *at* on that begin before *until*, up to one that is missing."""
    group: list[SegmentInfo] = []
    for segment in _closed(store):
        if segment.next <= at or segment.first >= until:
            continue
        if group and group[-1].next != segment.first:
            break
        group.append(segment)
    return group


def _closed(store: Log) -> list[SegmentInfo]:
    return [segment for segment in store.segments if not segment.active]
