"""The namespaces of a server, and what is in them."""

from __future__ import annotations

from bus.client.aio.calls import AsyncCalls
from bus.client.core.namespaces import PATH, Namespace, NamespaceList, path_of
from bus.client.core.outcomes import answer_as


class AsyncNamespaces:
    """The namespaces of a server, which `AsyncClient.namespaces` has."""

    def __init__(self, calls: AsyncCalls) -> None:
        self._calls = calls

    async def list(self) -> list[Namespace]:
        """The namespaces that the client may know of.

        Returns:
            What is in each of them.

        Raises:
            ConnectionFailedError: the server can't be reached.
        """
        return (await self._calls.ask(PATH, answer_as(NamespaceList))).namespaces

    async def get(self, name: str) -> Namespace:
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
        return await self._calls.ask(path_of(name), answer_as(Namespace))

    def __repr__(self) -> str:
        return f"<AsyncNamespaces of {self._calls!r}>"
