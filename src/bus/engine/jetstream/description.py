"""What there is to know of a stream at a glance."""

from __future__ import annotations

from bus.config import EngineSettings
from bus.engine.jetstream.namespace import JetNamespace
from bus.namespace import NamespaceDescription


def describe(namespace: JetNamespace, settings: EngineSettings, *, writable: bool) -> NamespaceDescription:
    """A namespace, as its stream was when it was looked at last."""
    name, state = namespace.name, namespace.info.state
    keep = settings.retention.get(name, settings.retention.get("*"))
    return NamespaceDescription(
        namespace=name,
        first_index=namespace.first,
        next_index=max(namespace.next, state.last_seq + 1),
        events=state.messages,
        bytes=state.bytes,
        segments=0,
        published=namespace.published,
        subscribers=len(namespace.live),
        delivered_bytes=namespace.live.delivered_bytes,
        keys=0,
        writable=writable,
        storage="disk",
        quota=settings.quota.get(name, settings.quota.get("*")),
        retention=None if keep is None else str(keep),
        delivered=namespace.live.delivered,
    )
