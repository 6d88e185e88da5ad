"""Durable consumers over HTTP.

GET    /v1/consumers                 all of them
GET    /v1/consumers/NAME            one
DELETE /v1/consumers/NAME            forget it; its streams end
GET    /v1/consumers/NAME/why        why nothing is being delivered, in a line
GET    /v1/consumers/NAME/dead       the events it gave up
POST   /v1/consumers/NAME/dead       send them back: all, or ?index=7,9
DELETE /v1/consumers/NAME/dead       forget them: all, or ?index=7,9
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from bus.engine.base import Description, DurableConsumers
from bus.errors import BusError
from bus.server.http.request import Request
from bus.server.http.responder import Responder
from bus.server.http.response import format_headers
from bus.units import parse_whole
from bus.wire import JSON, TEXT

_JSON = format_headers({"Content-Type": JSON})
_TEXT = format_headers({"Content-Type": TEXT})


class ConsumerRoutes:
    """The paths below ``/v1/consumers``."""

    def __init__(self, consumers: DurableConsumers) -> None:
        self._consumers = consumers
        self._encoded: tuple[Sequence[Description], bytes] = ((), b"")

    def show_all(self, request: Request, responder: Responder) -> None:
        responder.when_first(lambda: self._consumers.describe(lambda found: self._respond_all(responder, found)))

    def _respond_all(self, responder: Responder, found: Sequence[Description]) -> None:
        """Answers that were found together are encoded once."""
        if self._encoded[0] is not found:
            self._encoded = found, msgspec.json.encode({"consumers": found})
        responder.respond(200, _JSON, self._encoded[1])

    def show(self, request: Request, responder: Responder) -> None:
        responder.when_first(lambda: self._show_first(_name(request), responder))

    def _show_first(self, name: str, responder: Responder) -> None:
        try:
            self._consumers.describe_one(name, lambda found: _respond(responder, found[0]))
        except BusError as error:
            responder.fail(error)

    def delete(self, request: Request, responder: Responder) -> None:
        self._consumers.delete(_name(request))
        responder.respond(204)

    def why(self, request: Request, responder: Responder) -> None:
        responder.respond(200, _TEXT, f"{self._consumers.why(_name(request))}\n".encode())

    def dead(self, request: Request, responder: Responder) -> None:
        dead = self._consumers.dead(_name(request))
        _respond(responder, {"count": len(dead), "dead": dead})

    def redrive(self, request: Request, responder: Responder) -> None:
        _respond(responder, self._consumers.redrive(_name(request), _read_indexes(request)))

    def drop(self, request: Request, responder: Responder) -> None:
        _respond(responder, {"dropped": self._consumers.drop(_name(request), _read_indexes(request))})

    def __repr__(self) -> str:
        return f"<ConsumerRoutes of {self._consumers!r}>"


def _name(request: Request) -> str:
    """The consumer that the path names."""
    return request.path_values["name"]


def _respond(responder: Responder, body: Any) -> None:
    responder.respond(200, _JSON, msgspec.json.encode(body))


def _read_indexes(request: Request) -> list[int] | None:
    """The events meant, None for all. Raises `InvalidParameterError`."""
    texts = [part for value in request.query.get("index", []) for part in value.split(",")]
    return [parse_whole(text, what="index", least=1) for text in texts] or None
