"""Publishing what goes to no namespace that is served: replies, to inboxes, and what is refused, as it goes nowhere."""

from __future__ import annotations

from collections.abc import Sequence

from bus.engine.base import Expected, Outcome, Publisher, unknown_namespace
from bus.engine.guard import as_bus_error
from bus.engine.inboxes import Inboxes
from bus.errors import BusError, InvalidParameterError
from bus.event import Draft
from bus.subject import INBOX_NAMESPACE, parse_subject
from bus.wire import Durability


def publish_to_inboxes(
    drafts: Sequence[Draft],
    publisher: Publisher,
    inboxes: Inboxes,
    *,
    atomic: bool,
    expected: Expected | None,
    now: int,
) -> None:
    """Put *drafts*, of which there is one if *atomic*, into the inboxes that they are for. *now* is in ns.

    Raises `InvalidParameterError` if an index is *expected*; if *atomic*, what prevents it, such as
    `UnknownNamespaceError`.
    """
    outcomes = [_publish(draft, inboxes, expected=expected, now=now) for draft in drafts]
    if atomic and isinstance(outcomes[0], BusError):
        raise outcomes[0]
    publisher.stored(outcomes, Durability.MEMORY)


def _publish(draft: Draft, inboxes: Inboxes, *, expected: Expected | None, now: int) -> Outcome:
    """Put a draft into its inbox, or say why it can't be stored anywhere."""
    try:
        name, _ = parse_subject(draft.subject or "")
        if name != INBOX_NAMESPACE:
            return unknown_namespace(name)
        if expected:
            return InvalidParameterError("an inbox keeps no indexes: publish to it without expect")
        return inboxes.publish(draft, now=now)
    except Exception as error:
        return as_bus_error(error, "publishing a reply")
