"""Permits: whether the principal of a request may publish, read and settle what it asks for.

    authenticated ─▶ its subjects, patterns, consumer, inbox within its rights? ─┬─▶ done
                                                                                 └─▶ 403, or 401 without a token

A refusal is written down, and says what is missing. What is refused is refused before anybody has looked whether it
exists, so that a refusal tells nothing of that. What changes or shows the server itself is in `management_permits`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from bus.access.claims import Claims
from bus.access.principal import EVERYBODY, Principal
from bus.engine.administration import ConsumerAdmin, StoredEvent
from bus.engine.base import Acknowledge, Subscribe, unknown_consumer_id, unknown_event_id
from bus.errors import BusError, InvalidSubjectError, UnauthorizedError
from bus.event import Draft
from bus.frame import read_frame
from bus.server.api.audit import AuditLog, what_is_asked
from bus.server.api.authentication import Authenticator, refusal
from bus.server.api.management_permits import ManagementPermits
from bus.server.api.needs import check_need
from bus.server.api.principal_limits import PrincipalLimits
from bus.server.api.route import Need
from bus.server.api.stream_rights import OwnedStream, StreamRights
from bus.server.http.request import Request
from bus.server.http.responder import Responder
from bus.subject import INBOX_NAMESPACE, Filter, is_inbox, parse_subject


class Permits:
    """Decides for those whom *authenticator* knows, and holds their streams to their *limits*.

    Without an authenticator everybody may do everything.
    """

    def __init__(
        self,
        authenticator: Authenticator | None,
        consumers: ConsumerAdmin,
        audit: AuditLog,
        limits: PrincipalLimits,
    ) -> None:
        self._audit = audit
        self._authenticator = authenticator
        self._claims = Claims()
        self._limits = limits
        self.streams = StreamRights(limits.held)
        self.managing = ManagementPermits(consumers, audit)

    # -- publishing

    def check_events(self, request: Request, responder: Responder, drafts: Iterable[Draft]) -> None:
        """Raise `ForbiddenError` or `UnauthorizedError` unless all of *drafts* may be published."""
        principal = request.principal
        if principal is EVERYBODY:
            return
        may_publish = principal.rights.may_publish
        for draft in drafts:
            if may_publish(draft.subject or "") and not draft.response_subject:
                continue
            if error := self._refusal_of(principal, draft):
                self._note(responder, principal, f"publish to {draft.subject}", error)
                raise error

    def judge_lines(
        self, request: Request, responder: Responder, drafts: Sequence[Draft | BusError]
    ) -> Sequence[Draft | BusError]:
        """*drafts* with the refusal of each that may not be published in its place.

        Lines may come for hours, so whose they are is asked again.
        """
        if request.principal is EVERYBODY or self._authenticator is None:
            return drafts
        try:
            request.principal = self._authenticator.identify_again(request.principal)
        except UnauthorizedError as error:
            self._note(responder, request.principal, "publish lines", error)
            return [error] * len(drafts)
        return self._judge_each(request.principal, responder, drafts)

    def _judge_each(
        self, principal: Principal, responder: Responder, drafts: Sequence[Draft | BusError]
    ) -> Sequence[Draft | BusError]:
        """One line of the audit log for all that is refused together."""
        errors = [self._refusal_of(principal, draft) if isinstance(draft, Draft) else None for draft in drafts]
        refused = [
            (draft, error) for draft, error in zip(drafts, errors, strict=True) if error and isinstance(draft, Draft)
        ]
        if refused:
            first, error = refused[0]
            self._note(responder, principal, f"publish to {first.subject} and {len(refused) - 1} others", error)
        return [error or draft for draft, error in zip(drafts, errors, strict=True)]

    def _refusal_of(self, principal: Principal, draft: Draft) -> BusError | None:
        """Why *draft* may not be published; None if it may, or if what it says can't be read."""
        subject, inbox = draft.subject or "", draft.response_subject
        if not principal.rights.may_publish(subject) and (error := _refusal_to_publish(principal, subject)):
            return error
        if inbox and not (self._claims.claim(inbox, principal.name) or principal.rights.may_reply):
            return refusal(principal, "have replies go to this inbox", "it belongs to who made it")
        return None

    # -- subscribing

    def check_subscribe(self, request: Request, responder: Responder, wanted: Subscribe) -> None:
        """Raise `ForbiddenError` or `UnauthorizedError` unless all that *wanted* takes may be read.

        Raises `TooManyRequestsError` for more streams than are allowed.
        """
        principal = request.principal
        if principal is EVERYBODY:
            return
        if error := self._refusal_to_read(principal, wanted):
            self._note(responder, principal, f"subscribe to {wanted.filter}", error)
            raise error
        self._limits.check_stream(principal, responder, wanted.consumer)

    def _refusal_to_read(self, principal: Principal, wanted: Subscribe) -> BusError | None:
        rights, patterns = principal.rights, [pattern.text for pattern in wanted.filter.patterns]
        if wanted.filter.namespace == INBOX_NAMESPACE:
            return self._refusal_of_inboxes(principal, patterns)
        for pattern in patterns:
            if not rights.may_subscribe(pattern):
                return refusal(principal, f"subscribe to {pattern}", "no subscribe pattern takes all of it")
        if wanted.consumer and not rights.may_consume(wanted.consumer):
            return refusal(principal, f"use consumer {wanted.consumer[:80]!a}", "it isn't among its consumers")
        return None

    def _refusal_of_inboxes(self, principal: Principal, inboxes: Iterable[str]) -> BusError | None:
        if not principal.rights.may_request:
            return refusal(principal, "have an inbox", "it has no publish pattern, so nobody answers it")
        if all(self._claims.claim(inbox, principal.name) for inbox in inboxes):
            return None
        return refusal(principal, "read this inbox", "it belongs to who made it")

    def check_page(self, request: Request, responder: Responder, wanted: Filter) -> None:
        """Raise `ForbiddenError` or `UnauthorizedError` unless all that *wanted* takes may be read."""
        if error := self._refusal_to_read(request.principal, Subscribe(filter=wanted)):
            self._note(responder, request.principal, f"look at {wanted}", error)
            raise error

    def readable(
        self, request: Request, responder: Responder, event_id: str, found: Sequence[StoredEvent]
    ) -> Sequence[StoredEvent]:
        """Those of *found* that may be read. Raises `UnknownEventError` if there is none, as if nothing was found."""
        rights = request.principal.rights
        within = [event for event in found if rights.may_subscribe(read_frame(event.frame).subject)]
        if not within:
            error = unknown_event_id(event_id)
            if found:
                self._note(responder, request.principal, what_is_asked(request), error)
            raise error
        return within

    def admit(self, stream: OwnedStream) -> None:
        """Let a stream be that was just opened, or raise what `check_subscribe` does."""
        if stream.principal is not EVERYBODY:
            self._judge(stream)
            responder = stream.sink.responder
            self._limits.check_stream(stream.principal, responder, stream.consumer)
            stream.owner = self._limits.owner_of(stream.principal, responder)
            self.streams.add(stream)

    def judge_streams(self) -> None:
        """Break off the streams that may not be any more, because tokens have changed."""
        self.streams.judge_all(self._judge)

    def end_expired(self) -> None:
        """Break off the streams of tokens that have expired."""
        self.streams.end_expired(self._judge, now=time.time_ns())

    def _judge(self, stream: OwnedStream) -> None:
        assert self._authenticator is not None, "without a token file nobody owns a stream"
        try:
            stream.principal = self._authenticator.identify_again(stream.principal)
            if stream.wanted is None:
                check_need(stream.principal, Need.WATCH)
            elif refused := self._refusal_to_read(stream.principal, stream.wanted):
                raise refused
        except BusError as error:
            what = stream.wanted.filter if stream.wanted else "the server's counts"
            self._note(stream.sink.responder, stream.principal, f"read on {what}", error)
            raise

    # -- settling

    def check_acknowledge(self, request: Request, responder: Responder, ack: Acknowledge) -> None:
        """Raise `UnknownConsumerError` unless the deliveries are of who asks, `ForbiddenError` if it may not reply."""
        principal = request.principal
        if principal is EVERYBODY:
            return
        error: BusError | None = None
        stream = self.streams.find(ack.consumer_id)
        if stream is None or not stream.may_be_settled_by(principal):
            error = unknown_consumer_id(ack.consumer_id)
        elif ack.reply is not None and not principal.rights.may_reply:
            error = refusal(principal, "reply", "it has no reply = true")
        if error:
            self._note(responder, principal, f"{ack.action} for {ack.consumer_id}", error)
            raise error

    def _note(self, responder: Responder, principal: Principal, what: str, error: BusError) -> None:
        self._audit.write(responder, principal, what, allowed=False, why=error.message)

    def __repr__(self) -> str:
        return f"<Permits by {self._authenticator!r}>"


def _refusal_to_publish(principal: Principal, subject: str) -> BusError | None:
    """Why events may not go to *subject*, which no publish pattern takes; an inbox takes a right of its own."""
    if is_inbox(subject):
        return (
            None if principal.rights.may_reply else refusal(principal, "publish to an inbox", "it has no reply = true")
        )
    if _is_readable(subject):
        return refusal(principal, f"publish to {subject}", "no publish pattern takes it")
    return None


def _is_readable(subject: str) -> bool:
    """Whether it is a subject at all; what is none is refused by the engine, which says what is wrong with it."""
    try:
        parse_subject(subject)
    except InvalidSubjectError:
        return False
    return True
