"""Questions to a running server: what it has, and what its admin endpoints answer."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import TypeVar

import msgspec

from bus.client.blocking.connection import Pool
from bus.client.core.outcomes import check
from bus.client.core.response import Response
from bus.errors import ConfigError, ConnectionFailedError, ForbiddenError, UnauthorizedError
from bus.namespace import Compact, Storage
from bus.subject import check_namespaces
from bus.transfer.admission import READ_ERRORS
from bus.transfer.server_address import ServerAddress

T = TypeVar("T")

REPLY_SECONDS = 20.0
"""How long a server is given to answer, or to go on with an answer: more than it leaves between two pings."""

QUIET_END_SECONDS = 5.0
"""Seconds without an event after which a log of unknown end is taken to have come to it."""


class ServedNamespace(msgspec.Struct):
    """What a server tells of one of its namespaces; Bus 0.1 doesn't tell all of it."""

    namespace: str
    first_index: int
    next_index: int
    events: int
    bytes: int
    segments: int
    storage: Storage = Storage.DISK
    retention: str | None = None
    quota: int | None = None
    compact: Compact | None = None
    declared: bool = True


class _Namespaces(msgspec.Struct):
    namespaces: list[ServedNamespace]


class ServerQuestions:
    """Asks the server at *address*, each question on a connection of its own."""

    def __init__(self, address: ServerAddress) -> None:
        self.address = address
        self._requests = address.requests()
        self._pool = Pool(self._requests.endpoint, tls=address.tls.context(self._requests.endpoint))

    def ask(self, method: str, path: str, kind: type[T], body: bytes = b"") -> T:
        """What it answers at *path*, as a *kind*. Raises the error it answers with, or `ConnectionFailedError`."""
        response = self._call(method, path, body)
        check(response)
        try:
            return msgspec.json.decode(response.body, type=kind)
        except READ_ERRORS as error:
            raise stranger(self.address, f"what can't be read ({error})") from None

    def ask_text(self, method: str, path: str) -> str:
        """The text that it answers at *path*, if any. Raises the error it answers with."""
        response = self._call(method, path)
        check(response)
        return response.body.decode("utf-8", "replace").rstrip()

    def ask_namespaces(self) -> dict[str, ServedNamespace]:
        """What it tells of its namespaces, nothing if it isn't ours. Raises `UnauthorizedError`, `ForbiddenError`."""
        response = self._call("GET", "v1/namespaces")
        if response.status in (UnauthorizedError.status, ForbiddenError.status):
            check(response)
        try:
            found = msgspec.json.decode(response.body, type=_Namespaces) if response.status == 200 else None
        except READ_ERRORS:
            return {}
        return self._checked(found.namespaces) if found else {}

    def _checked(self, found: Sequence[ServedNamespace]) -> dict[str, ServedNamespace]:
        """What a server tells of its namespaces, whose names go into paths."""
        try:
            check_namespaces([stats.namespace for stats in found])
        except ConfigError as error:
            raise stranger(self.address, f"namespaces that can't be ({error})") from None
        return {stats.namespace: stats for stats in found}

    def _call(self, method: str, path: str, body: bytes = b"") -> Response:
        deadline = monotonic() + REPLY_SECONDS
        request = self._requests.ask(path, method=method, body=body)
        connection = self._pool.connect(deadline=deadline)
        try:
            connection.exchange(request, deadline=deadline)
            return connection.reader.response()
        finally:
            connection.close()

    def __repr__(self) -> str:
        return f"<ServerQuestions to {self.address}>"


def stranger(address: ServerAddress, answer: str) -> ConnectionFailedError:
    """The error for a server whose *answer* is none of ours."""
    return ConnectionFailedError(f"{address} answered {answer}: is it a Bus server?")


def tells_its_end(address: ServerAddress) -> bool:
    """Whether the server at *address* says where a log ends: ours do, others of the protocol don't."""
    try:
        return bool(ServerQuestions(address).ask_namespaces())
    except ForbiddenError:  # no other knows who may what
        return True
