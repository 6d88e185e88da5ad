"""Durable consumers: listed, made, changed, paused, moved and forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from bus.client.aio.calls import AsyncCalls
from bus.client.core.consumers import PATH, ConnectionList, ConsumerList, encode_change, encode_destination, path_of
from bus.client.core.get_options import Duration, Start, subjects_in
from bus.client.core.outcomes import answer_as, check
from bus.consumer import ConsumerConnection, ConsumerDescription, Move, PendingDeliveries


class AsyncConsumers:
    """The durable consumers of a server, which `AsyncClient.consumers` has."""

    def __init__(self, calls: AsyncCalls) -> None:
        self._calls = calls

    # -- looking

    async def list(self) -> list[ConsumerDescription]:
        """All that the client may look at.

        Returns:
            The consumers, by their names.

        Raises:
            ConnectionFailedError: the server can't be reached.
        """
        return (await self._calls.ask(PATH, answer_as(ConsumerList))).consumers

    async def get(self, name: str) -> ConsumerDescription:
        """One consumer.

        Parameters:
            name: its name.

        Returns:
            Its terms, its place, and why nothing is being delivered.

        Raises:
            UnknownConsumerError: there is none of this name.
            ConnectionFailedError: the server can't be reached.
        """
        return await self._calls.ask(path_of(name), answer_as(ConsumerDescription))

    async def pending(self, name: str, *, limit: int = 1000) -> PendingDeliveries:
        """What it has read and not settled.

        Parameters:
            name: its name.
            limit: how many deliveries at most, up to 10,000.

        Returns:
            How many there are, and the first of them.

        Raises:
            UnknownConsumerError: there is none of this name.
            ConnectionFailedError: the server can't be reached.
        """
        query = [("limit", str(limit))]
        return await self._calls.ask(path_of(name, "pending"), answer_as(PendingDeliveries), query=query)

    async def connections(self, name: str) -> Sequence[ConsumerConnection]:
        """Who shares it.

        Parameters:
            name: its name.

        Returns:
            Its connections, those who have been there for longest first.

        Raises:
            UnknownConsumerError: there is none of this name.
            ConnectionFailedError: the server can't be reached.
        """
        return (await self._calls.ask(path_of(name, "connections"), answer_as(ConnectionList))).connections

    # -- changing

    async def edit(
        self,
        name: str,
        *,
        subject: str | Sequence[str] = (),
        start: Start | None = None,
        redelivery: Duration | Sequence[Duration] | None = None,
        redelivery_count: int | None = None,
        order: Literal["key", "none"] | None = None,
        expires: Duration | None = None,
        paused: bool | None = None,
    ) -> ConsumerDescription:
        """Make a consumer, or change one; what is left out stays as it is.

        Connections that subscribed to other patterns or another order are interrupted, and come back by themselves if
        what they give is right then.

        Parameters:
            name: its name.
            subject: the patterns it reads, all of one namespace; required for a new one. One that is there reads them
                from its place on.
            start: where a new one begins, as in `AsyncClient.get`.
            redelivery: how long an attempt may take; several are for the first, second, … attempt.
            redelivery_count: attempts in all before an event is given up, 0 for no limit.
            order: with ``"key"`` no two events of one key are on their way at once; ``"none"`` ends that.
            expires: how long it is kept without a connection, 0 for ever, ``"default"`` for what the server's setting
                says.
            paused: whether nothing is handed out.

        Returns:
            The consumer as it is then.

        Raises:
            InvalidError: a pattern or an option can't be understood.
            UnknownConsumerError: there is none, and no *subject* to make it with.
            UnknownNamespaceError: the server doesn't serve this namespace.
            ConsumerMismatchError: the consumer is of another namespace.
            StorageError: the server can't keep the change.
            ConnectionFailedError: the server can't be reached.
        """
        body = encode_change(
            subjects=subjects_in(subject), start=start, redelivery=redelivery, redelivery_count=redelivery_count,
            order=order, expires=expires, paused=paused,
        )  # fmt: skip
        return await self._calls.ask(path_of(name), answer_as(ConsumerDescription), method="PUT", body=body)

    async def pause(self, name: str) -> ConsumerDescription:
        """Have nothing handed out from when this returns; what is on its way may be settled.

        Parameters:
            name: its name.

        Returns:
            The consumer as it is then.

        Raises:
            UnknownConsumerError: there is none of this name.
            StorageError: the server can't keep the change.
            ConnectionFailedError: the server can't be reached.
        """
        return await self.edit(name, paused=True)

    async def resume(self, name: str) -> ConsumerDescription:
        """Have events handed out again.

        Parameters:
            name: its name.

        Returns:
            The consumer as it is then.

        Raises:
            UnknownConsumerError: there is none of this name.
            StorageError: the server can't keep the change.
            ConnectionFailedError: the server can't be reached.
        """
        return await self.edit(name, paused=False)

    async def move(self, name: str, to: Start, *, dry_run: bool = False) -> Move:
        """Have a consumer go on elsewhere. What it has pending is forgotten, on its connections too.

        Parameters:
            name: its name.
            to: where to, as in `AsyncClient.get`; ``"+10"`` and ``"-10"`` are so many events on or back from where it
                is.
            dry_run: only say what that would repeat or skip.

        Returns:
            From where to where, and how many events are repeated or skipped by that.

        Raises:
            InvalidError: *to* can't be understood.
            UnknownConsumerError: there is none of this name.
            UnknownEventError: there never was such an event or index.
            StorageError: the server can't keep the change.
            ConnectionFailedError: the server can't be reached, or the connection broke: look where the consumer is.
        """
        query = [("dry_run", "true")] if dry_run else []
        body = encode_destination(to)
        return await self._calls.ask(path_of(name, "position"), answer_as(Move), method="POST", query=query, body=body)

    async def delete(self, name: str) -> None:
        """Forget a consumer, with its place and the list of its dead letters; its streams end.

        Parameters:
            name: its name.

        Raises:
            UnknownConsumerError: there is none of this name.
            StorageError: the server can't keep the change.
            ConnectionFailedError: the server can't be reached.
        """
        await self._calls.ask(path_of(name), check, method="DELETE")

    def __repr__(self) -> str:
        return f"<AsyncConsumers of {self._calls!r}>"
