"""What there is to know of a namespace at a glance."""

from __future__ import annotations

from bus.engine.embedded.log_namespace import LogNamespace
from bus.namespace import Compact, Keep, NamespaceDescription


def describe(namespace: LogNamespace, *, keep: Keep | None, declared: bool) -> NamespaceDescription:
    """A namespace of which this is to *keep*, None for everything; it is *declared* on the command line or not."""
    compact = namespace.compact
    return NamespaceDescription(
        namespace=namespace.name,
        first_index=namespace.first,
        next_index=namespace.next,
        events=_events(namespace),
        bytes=namespace.store.size,
        segments=len(namespace.store.segments),
        published=namespace.published,
        subscribers=len(namespace.live),
        delivered_bytes=namespace.live.delivered_bytes,
        keys=namespace.keys,
        writable=namespace.failure is None,
        storage="memory" if namespace.is_volatile else "disk",
        quota=namespace.quota,
        retention=None if keep is None else str(keep),
        declared=declared,
        delivered=namespace.live.delivered,
        compact=None if compact is None else "key" if compact is Compact.KEY else "subject",
        compactions=namespace.compactions,
        compacted_bytes=namespace.compacted_bytes,
        subjects=namespace.subjects.number,
    )


def _events(namespace: LogNamespace) -> int:
    """How many events are left; while they are being counted, as many as there may be."""
    indexes, counted = namespace.next - namespace.first, namespace.subjects.events
    return indexes if counted is None else min(counted, indexes)
