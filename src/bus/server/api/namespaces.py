"""Namespaces over HTTP.

GET    /v1/namespaces         all of them
GET    /v1/namespaces/NAME    one
PUT    /v1/namespaces/NAME    make or change it
DELETE /v1/namespaces/NAME    delete it, with all that is in it
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from bus.access.rights import Rights
from bus.config import parse_keep
from bus.engine.administration import NamespaceChange
from bus.engine.base import Engine, unknown_namespace
from bus.errors import ConfigError, InvalidParameterError
from bus.namespace import Compact, Keep, Storage
from bus.server.api.json_body import decode_body
from bus.server.api.later import answer_later
from bus.server.api.management_permits import ManagementPermits
from bus.server.http.request import Request
from bus.server.http.responder import Responder
from bus.server.http.response import format_headers
from bus.units import LARGEST_SIZE, parse_size
from bus.wire import JSON

_JSON = format_headers({"Content-Type": JSON})


class _Namespace(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``PUT /v1/namespaces/NAME``."""

    storage: Storage | UnsetType = UNSET
    retention: str | UnsetType | None = UNSET
    max_bytes: int | str | UnsetType | None = UNSET
    compact: Compact | UnsetType | None = UNSET


class NamespaceRoutes:
    """The paths below ``/v1/namespaces``: what *permits* let somebody see or do of those of *engine*."""

    def __init__(self, engine: Engine, permits: ManagementPermits) -> None:
        self._engine = engine
        self._admin = engine.namespace_admin
        self._permits = permits

    def show_all(self, request: Request, responder: Responder) -> None:
        answer_later(responder, self._respond_all(request.principal.rights, responder))

    async def _respond_all(self, rights: Rights, responder: Responder) -> None:
        found = [one for one in await self._engine.namespaces() if rights.may_know(one.namespace)]
        responder.respond(200, _JSON, msgspec.json.encode({"namespaces": found}))

    def show(self, request: Request, responder: Responder) -> None:
        self._permits.check_namespace(request, responder, _name(request))
        answer_later(responder, self._respond_one(_name(request), responder))

    async def _respond_one(self, name: str, responder: Responder) -> None:
        found = next((one for one in await self._engine.namespaces() if one.namespace == name), None)
        if found is None:
            raise unknown_namespace(name)
        responder.respond(200, _JSON, msgspec.json.encode(found))

    def change(self, request: Request, responder: Responder) -> None:
        answer_later(responder, self._change(request, responder))

    async def _change(self, request: Request, responder: Responder) -> None:
        change = read_change(request.body)
        self._permits.check_whole_namespace(request, responder, _name(request))
        changed = await self._admin.change(_name(request), change)
        responder.respond(201 if changed.made else 200, _JSON, msgspec.json.encode(changed.namespace))

    def delete(self, request: Request, responder: Responder) -> None:
        answer_later(responder, self._delete(request, responder))

    async def _delete(self, request: Request, responder: Responder) -> None:
        self._permits.check_whole_namespace(request, responder, _name(request))
        await self._admin.delete(_name(request))
        responder.respond(204)

    def __repr__(self) -> str:
        return f"<NamespaceRoutes of {self._engine!r}>"


def _name(request: Request) -> str:
    return request.path_values["name"]


def read_change(body: bytes) -> NamespaceChange:
    """What is to be so of a namespace. Raises `InvalidParameterError`."""
    said = decode_body(body, _Namespace)
    return NamespaceChange(
        storage=None if said.storage is UNSET else said.storage,
        retention=_read_keep(said.retention) if isinstance(said.retention, str) else said.retention,
        max_bytes=said.max_bytes if said.max_bytes is None or said.max_bytes is UNSET else _read_size(said.max_bytes),
        compact=said.compact,
    )


def _read_keep(text: str) -> Keep:
    try:
        keep = parse_keep(text)
    except ConfigError as error:
        raise InvalidParameterError(str(error)) from None
    if not text.strip():
        raise InvalidParameterError('retention is empty: write it like 7d,10GB or 1000000, or "everything"')
    return keep


def _read_size(given: int | str) -> int:
    """A number of bytes, or a size with its unit."""
    if isinstance(given, str):
        return parse_size(given)
    if not 0 <= given <= LARGEST_SIZE:
        raise InvalidParameterError(f"max_bytes {given} is out of range: 0, which is no limit, to {LARGEST_SIZE}")
    return given
