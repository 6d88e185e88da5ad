"""Permits: whether the principal of a request may do what it asks. A refusal is written down, and says what is missing.

    authenticated ─▶ its subjects, patterns, consumer, inbox within its rights? ─┬─▶ done
                                                                                 └─▶ 403, or 401 without a token

What is refused is refused before anybody has looked whether it exists, so that a refusal tells nothing of that.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from bus.access.claims import Claims
from bus.access.principal import EVERYBODY, Principal
from bus.consumer import ConsumerDescription
from bus.engine.administration import ConsumerAdmin
from bus.engine.base import Acknowledge, Subscribe, unknown_consumer_id, unknown_event_id
from bus.errors import BusError, InvalidSubjectError, UnauthorizedError, UnknownConsumerError
from bus.event import Draft
from bus.server.api.audit import AuditLog
from bus.server.api.authentication import Authenticator, refusal
from bus.server.api.principal_limits import PrincipalLimits
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
        self._consumers = consumers
        self._claims = Claims()
        self._limits = limits
        self.streams = StreamRights(limits.held)

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

    def check_event(self, request: Request, responder: Responder, event_id: str, subject: str) -> None:
        """Raise `UnknownEventError` unless the stored event, which has this subject, may be read."""
        principal = request.principal
        if principal is not EVERYBODY and not principal.rights.may_subscribe(subject):
            error = unknown_event_id(event_id)
            self._note(responder, principal, _what(request), error)
            raise error

    def admit(self, stream: OwnedStream) -> None:
        """Let a stream be that was just opened, or raise what `check_subscribe` does."""
        if stream.principal is not EVERYBODY:
            self._judge(stream)
            responder = stream.sink.responder
            self._limits.check_stream(stream.principal, responder, stream.wanted.consumer)
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
            if refused := self._refusal_to_read(stream.principal, stream.wanted):
                raise refused
        except BusError as error:
            self._note(stream.sink.responder, stream.principal, f"read on {stream.wanted.filter}", error)
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

    # -- looking and managing

    def check_namespace(self, request: Request, responder: Responder, name: str) -> None:
        """Raise `ForbiddenError` or `UnauthorizedError` unless something may be done in the namespace *name*."""
        if not request.principal.rights.may_know(name):
            error = refusal(request.principal, f"look at namespace {name[:80]!a}", "no pattern of it is within")
            self._note(responder, request.principal, _what(request), error)
            raise error

    async def check_consumer(self, request: Request, responder: Responder, name: str) -> None:
        """Raise `ForbiddenError` or `UnauthorizedError` unless the durable consumer *name* may be looked at."""
        if not await self._is_granted(request.principal, name, manage=False):
            self._refuse_consumer(request, responder, name, "it is neither among its consumers nor within its manage")

    async def check_management(self, request: Request, responder: Responder, name: str) -> None:
        """As `check_consumer`, for whoever changes it; what may be done is written down as well."""
        if not await self._is_granted(request.principal, name, manage=True):
            self._refuse_consumer(request, responder, name, "it isn't within its manage")
        self.note_management(request, responder)

    def check_schedule(self, request: Request, responder: Responder, subject: str | None) -> None:
        """Raise `ForbiddenError` or `UnauthorizedError` unless a schedule of *subject* may be managed.

        Of one that isn't there, whose subject is None, only those learn who may manage all.
        """
        rights = request.principal.rights
        if not (rights.admin if subject is None else rights.may_manage_events(subject)):
            error = refusal(request.principal, "do this with a schedule", "its subject isn't within its manage")
            self._note(responder, request.principal, _what(request), error)
            raise error

    def check_purge(self, request: Request, responder: Responder, wanted: Filter | None) -> None:
        """Raise `ForbiddenError` or `UnauthorizedError` unless all that *wanted* takes may be deleted; write it down.

        Of an event that isn't there, whose filter is None, only those learn who may manage all.
        """
        rights = request.principal.rights
        patterns = () if wanted is None else [pattern.text for pattern in wanted.patterns]
        if not (rights.admin or (patterns and all(map(rights.manage.contains, patterns)))):
            error = refusal(request.principal, "delete these events", "they aren't within its manage")
            self._note(responder, request.principal, _what(request), error)
            raise error
        self.note_management(request, responder)

    def note_management(self, request: Request, responder: Responder) -> None:
        """Write down that somebody changes something that it may change."""
        self._audit.write(responder, request.principal, _what(request), allowed=True, why="within its manage")

    async def check_change(self, request: Request, responder: Responder, name: str, patterns: Sequence[str]) -> None:
        """As `check_management`, for whoever makes it or has it read *patterns*, which have to be within as well."""
        may_manage = request.principal.rights.may_manage
        if not (may_manage(name) or may_manage(name, [*await self._patterns_of(name), *patterns] or None)):
            self._refuse_consumer(request, responder, name, "it, or what it is to read, isn't within its manage")
        self._audit.write(responder, request.principal, _what(request), allowed=True, why="within its manage")

    async def _patterns_of(self, name: str) -> Sequence[str]:
        """What the consumer *name* reads, nothing if there is none."""
        try:
            return await self._consumers.patterns(name)
        except UnknownConsumerError:
            return ()

    async def _is_granted(self, principal: Principal, name: str, *, manage: bool) -> bool:
        """Whether *principal* may, by the name of the consumer or else by what it reads."""
        granted = principal.rights.may_manage if manage else principal.rights.may_see
        if granted(name) or not principal.rights.manage:
            return granted(name)
        return granted(name, await self._patterns_of(name) or None)

    def _refuse_consumer(self, request: Request, responder: Responder, name: str, why: str) -> None:
        error = refusal(request.principal, f"do this with consumer {name[:80]!a}", why)
        self._note(responder, request.principal, _what(request), error)
        raise error

    def visible(self, request: Request, consumers: Sequence[ConsumerDescription]) -> Sequence[ConsumerDescription]:
        """Those of *consumers* that who asks may look at."""
        rights = request.principal.rights
        return consumers if rights.admin else [one for one in consumers if rights.may_see(one.name, one.patterns)]

    def _note(self, responder: Responder, principal: Principal, what: str, error: BusError) -> None:
        self._audit.write(responder, principal, what, allowed=False, why=error.message)

    def __repr__(self) -> str:
        return f"<Permits by {self._authenticator!r}>"


def _what(request: Request) -> str:
    return f"{request.head.method.decode()} {request.head.path}"


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


def _first_error(found: Iterable[Draft | BusError]) -> BusError:
    return next(one for one in found if isinstance(one, BusError))
