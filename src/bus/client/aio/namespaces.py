"""The namespaces of a server, and what is in them."""

from __future__ import annotations

from typing import Literal

from bus.client.aio.calls import AsyncCalls
from bus.client.core.namespaces import PATH, NamespaceList, encode_change, path_of
from bus.client.core.outcomes import answer_as, check
from bus.namespace import NamespaceDescription


class AsyncNamespaces:
    """The namespaces of a server, which `AsyncClient.namespaces` has."""

    def __init__(self, calls: AsyncCalls) -> None:
        self._calls = calls

    async def list(self) -> list[NamespaceDescription]:
        """The namespaces that the client may know of.

        Returns:
            What is in each of them.

        Raises:
            ConnectionFailedError: the server can't be reached.
        """
        return (await self._calls.ask(PATH, answer_as(NamespaceList))).namespaces

    async def get(self, name: str) -> NamespaceDescription:
        """One namespace.

        Parameters:
            name: what it is called: the first segment of its subjects.

        Returns:
            What is in it.

        Raises:
            UnknownNamespaceError: the server doesn't serve it.
            ForbiddenError: the client may do nothing in a namespace of this name.
            ConnectionFailedError: the server can't be reached.
        """
        return await self._calls.ask(path_of(name), answer_as(NamespaceDescription))

    async def put(
        self,
        name: str,
        *,
        storage: Literal["disk", "memory"] | None = None,
        retention: str | None = None,
        max_bytes: int | str | None = None,
        compact: Literal["subject", "key", "none", "default"] | None = None,
    ) -> NamespaceDescription:
        """Make a namespace, or change one; what is left out stays as it is. It outlives the server.

        Parameters:
            name: what it is called: letters, digits, ``_`` and ``-``.
            storage: where a new one is, ``"disk"`` if it is left out; ``"memory"`` is until the server stops.
            retention: what is kept, as ``--retention`` has it: an age, a size, a number of events, like
                ``"7d,10GB"``. ``"everything"`` is all of it, ``"default"`` what the server's flags say.
            max_bytes: its quota, in bytes or like ``"10GB"``; 0 is no limit, ``"default"`` what the server's flags say.
            compact: keep the newest event only of each ``"subject"``, or of each subject and ``"key"``, or all with
                ``"none"``; ``"default"`` is what the server's flags say.

        Returns:
            The namespace as it is then.

        Raises:
            InvalidError: the name or an option can't be understood.
            ConflictError: it is stored elsewhere, or the server can't have one more.
            ForbiddenError: the client may not manage all that is in it.
            StorageError: the server can't keep the change.
            ConnectionFailedError: the server can't be reached.
        """
        body = encode_change(storage=storage, retention=retention, max_bytes=max_bytes, compact=compact)
        return await self._calls.ask(path_of(name), answer_as(NamespaceDescription), method="PUT", body=body)

    async def delete(self, name: str) -> None:
        """Delete a namespace for good, with its events, durable consumers, dead letters and schedules.

        Its streams end. Its bytes are gone from the server's disk when this returns.

        Parameters:
            name: its name.

        Raises:
            UnknownNamespaceError: the server doesn't serve it.
            ConflictError: it is named on the server's command line.
            ForbiddenError: the client may not manage all that is in it.
            StorageError: not all of it could be deleted; the rest goes with another attempt, or when the server starts.
            ConnectionFailedError: the server can't be reached.
        """
        await self._calls.ask(path_of(name), check, method="DELETE")

    def __repr__(self) -> str:
        return f"<AsyncNamespaces of {self._calls!r}>"
