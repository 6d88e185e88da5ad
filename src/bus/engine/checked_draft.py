"""Drafts that were checked: what all engines store, and what a draft has to be like before, for servers and for those
who write logs.
"""

from __future__ import annotations

from collections.abc import Sequence

from bus.drafts import check_response_subject
from bus.errors import InvalidEventError
from bus.event import NO_TIME, Draft, check_headers, check_id, check_label, expiry
from bus.frame import encode_extra
from bus.payload import one_line
from bus.subject import INBOX_NAMESPACE, parse_subject

Key = tuple[str, str]
"""A subject and the key of an event on it."""


class CheckedDraft:
    """A draft found to be in order: nothing about it can be refused any more.

    *time* is in ns, and so is *expires*, from when on it isn't delivered; None for never. *core* says that it has none
    of the younger fields that `bus.frame` tells of.
    """

    __slots__ = ("core", "event_id", "expires", "extra", "key", "payload", "subject", "time")

    def __init__(
        self,
        subject: bytes,
        payload: bytes,
        time: int,
        event_id: str = "",
        extra: bytes = b"",
        key: Key | None = None,
        expires: int | None = None,
        core: bool = True,
    ) -> None:
        self.subject = subject
        self.payload = payload
        self.time = time
        self.event_id = event_id
        self.extra = extra
        self.key = key
        self.expires = expires
        self.core = core

    def __repr__(self) -> str:
        return f"<CheckedDraft on {self.subject.decode()}, {len(self.payload)} bytes>"


def check_draft(draft: Draft, *, now: int) -> CheckedDraft:
    """Check everything about *draft* that doesn't depend on what is stored. *now* is in ns.

    Raises `InvalidSubjectError`, `InvalidEventError` or `InvalidParameterError` (its time).
    """
    name = draft.subject or ""
    _, subject = parse_subject(name)
    payload = one_line(bytes(draft.payload))
    if not (
        draft.id or draft.key or draft.created_at or draft.trace_id or draft.response_subject or draft.headers
        or draft.ttl or draft.deliver_at
    ):  # fmt: skip
        return CheckedDraft(subject, payload, now)
    if draft.deliver_at and draft.deliver_at != NO_TIME:
        raise InvalidEventError("deliver_at goes with one event by itself: not in an array, in NDJSON or with wait")
    time = draft.time(now)
    return CheckedDraft(
        subject, payload, time,
        event_id=check_id(draft.id) if draft.id else "",
        extra=_extra(draft),
        key=(name, draft.key) if draft.key else None,
        expires=expiry(draft.ttl, time) if draft.ttl else None,
        core=not (draft.headers or draft.ttl),
    )  # fmt: skip


def check_batch(namespace: str, drafts: Sequence[Draft]) -> None:
    """Raise `InvalidSubjectError` or `InvalidEventError` unless all of *drafts* go to one log, that of *namespace*."""
    if {(draft.subject or "").partition(".")[0] for draft in drafts} != {namespace}:
        names = ", ".join(sorted({parse_subject(draft.subject or "")[0] for draft in drafts}))
        raise InvalidEventError(f"the batch is of several namespaces ({names}): send one each")
    if namespace == INBOX_NAMESPACE:
        raise InvalidEventError("a batch can't go to an inbox: send replies one by one, or as NDJSON")


def only_subject(events: Sequence[CheckedDraft]) -> bytes:
    """The subject that all of *events* have. Raises `InvalidEventError` if they have several."""
    subjects = {event.subject for event in events}
    if len(subjects) > 1:
        names = ", ".join(sorted(subject.decode() for subject in subjects)[:2])
        raise InvalidEventError(f"expect_subject goes with events of one subject, these have several ({names} …)")
    return events[0].subject


def _extra(draft: Draft) -> bytes:
    return encode_extra(
        key=check_label(draft.key, "key") if draft.key else "",
        trace_id=check_label(draft.trace_id, "trace_id") if draft.trace_id else "",
        response_subject=check_response_subject(draft.response_subject) if draft.response_subject else "",
        headers=check_headers(draft.headers) if draft.headers else None,
        ttl=draft.ttl,
    )
