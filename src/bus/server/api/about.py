"""``/v1/server``: what the server is and was told, how it fares, and what whoever asks may do."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec
from uvloop._version import __version__ as UVLOOP_VERSION  # noqa: N812 (the package exports it untyped)

from bus.access.principal import Principal
from bus.build import COMPILED
from bus.engine.base import Engine
from bus.overview import LogLine, ServerDescription
from bus.server.api.counting import Counting
from bus.server.api.later import answer_later
from bus.server.api.page_writes import PageWrites
from bus.server.http.request import Request
from bus.server.http.responder import Responder
from bus.server.http.response import format_headers
from bus.units import format_time
from bus.wire import JSON

_JSON = format_headers({"Content-Type": JSON})


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What is to be known of a server from its start on.

    Its version and its engine's name, what it was told, and the last lines of its log.
    """

    version: str = ""
    engine: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    log: Iterable[LogLine] = ()


class AboutRoute:
    """Answers ``GET /v1/server``: everybody learns what it may do, the rest takes rights.

    *page_writes* says whether the server's own pages may do as much.
    """

    def __init__(self, facts: ServerFacts, engine: Engine, counting: Counting, page_writes: PageWrites | None) -> None:
        self._facts = facts
        self._engine = engine
        self._page_writes = page_writes
        self._counting = counting

    def get(self, request: Request, responder: Responder) -> None:
        why = self._page_writes.refused(request, responder) if self._page_writes else ""
        answer_later(responder, self._respond(request.principal, responder, read_only=why))

    async def _respond(self, principal: Principal, responder: Responder, *, read_only: str) -> None:
        found = ServerDescription(who=principal.name, may=principal.rights.granted, read_only=read_only)
        if principal.rights.may_measure:
            found = await self._measured(found)
        if principal.rights.admin:
            facts = self._facts
            found = msgspec.structs.replace(found, settings=dict(facts.settings), log=list(facts.log))
        responder.respond(200, _JSON, msgspec.json.encode(found))

    async def _measured(self, found: ServerDescription) -> ServerDescription:
        nodes = await self._engine.nodes()
        return msgspec.structs.replace(
            found,
            version=self._facts.version,
            compiled=COMPILED,
            python=platform.python_version(),
            uvloop=UVLOOP_VERSION,
            engine=self._facts.engine,
            started_at=format_time(self._counting.started_at),
            counts=await self._counting.count_server(),
            nodes=None if nodes is None else list(nodes),
        )

    def __repr__(self) -> str:
        return f"<AboutRoute by {self._counting!r}>"
