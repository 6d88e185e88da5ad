"""Permits of those who look after a server: its namespaces, consumers, schedules and stored events.

What is allowed is written down here as well as what is refused, for it changes what others rely on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from bus.access.principal import Principal
from bus.consumer import ConsumerDescription
from bus.engine.administration import ConsumerAdmin, StoredEvent
from bus.errors import UnknownConsumerError
from bus.frame import read_frame
from bus.server.api.audit import AuditLog, what_is_asked
from bus.server.api.authentication import refusal
from bus.server.http.request import Request
from bus.server.http.responder import Responder
from bus.subject import Filter


class ManagementPermits:
    """Decides by the rights of who asks, and by what *consumers* read; writes into *audit*."""

    def __init__(self, consumers: ConsumerAdmin, audit: AuditLog) -> None:
        self._consumers = consumers
        self._audit = audit

    def check_namespace(self, request: Request, responder: Responder, name: str) -> None:
        """Raise `ForbiddenError` or `UnauthorizedError` unless something may be done in the namespace *name*."""
        if not request.principal.rights.may_know(name):
            self._refuse(request, responder, f"look at namespace {name[:80]!a}", "no pattern of it is within")

    def check_whole_namespace(self, request: Request, responder: Responder, name: str) -> None:
        """Raise `ForbiddenError` or `UnauthorizedError` unless all of the namespace *name* may be managed; written
        down.
        """
        if not request.principal.rights.may_manage_namespace(name):
            self._refuse(request, responder, f"do this with namespace {name[:80]!a}", "not all of it is its to manage")
        self.note_management(request, responder)

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
            self._refuse(request, responder, "do this with a schedule", "its subject isn't within its manage")

    def check_purge(self, request: Request, responder: Responder, wanted: Filter) -> None:
        """Raise `ForbiddenError` or `UnauthorizedError` unless all that *wanted* takes may be deleted; written down."""
        if not all(request.principal.rights.may_delete(pattern.text) for pattern in wanted.patterns):
            self._refuse(request, responder, "delete these events", "they aren't within its manage")
        self.note_management(request, responder)

    def deletable(self, request: Request, responder: Responder, found: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
        """Those of *found* that may be deleted; written down.

        Raises `ForbiddenError` or `UnauthorizedError` if there is none: whether nothing was found, only those learn who
        may manage all.
        """
        rights = request.principal.rights
        within = [event for event in found if rights.may_delete(read_frame(event.frame).subject)]
        if not (within or rights.admin):
            self._refuse(request, responder, "delete these events", "they aren't within its manage")
        self.note_management(request, responder)
        return within

    def note_management(self, request: Request, responder: Responder) -> None:
        """Write down that somebody changes something that it may change."""
        self._audit.write(responder, request.principal, what_is_asked(request), allowed=True, why="within its manage")

    async def check_change(self, request: Request, responder: Responder, name: str, patterns: Sequence[str]) -> None:
        """As `check_management`, for whoever makes it or has it read *patterns*, which have to be within as well."""
        may_manage = request.principal.rights.may_manage
        if not (may_manage(name) or may_manage(name, [*await self._patterns_of(name), *patterns] or None)):
            self._refuse_consumer(request, responder, name, "it, or what it is to read, isn't within its manage")
        self.note_management(request, responder)

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

    def _refuse_consumer(self, request: Request, responder: Responder, name: str, why: str) -> NoReturn:
        self._refuse(request, responder, f"do this with consumer {name[:80]!a}", why)

    def _refuse(self, request: Request, responder: Responder, what: str, why: str) -> NoReturn:
        error = refusal(request.principal, what, why)
        self._audit.write(responder, request.principal, what_is_asked(request), allowed=False, why=error.message)
        raise error

    def visible(self, request: Request, consumers: Sequence[ConsumerDescription]) -> Sequence[ConsumerDescription]:
        """Those of *consumers* that who asks may look at."""
        rights = request.principal.rights
        return consumers if rights.admin else [one for one in consumers if rights.may_see(one.name, one.patterns)]

    def __repr__(self) -> str:
        return f"<ManagementPermits of {self._consumers!r}>"
