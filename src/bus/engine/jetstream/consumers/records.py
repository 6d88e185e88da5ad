"""What holds of durable consumers, for all Bus servers: a stream of small records, and their latest versions here.

    <prefix>._meta_.consumer.<name>          a consumer: its terms, and which consumer of JetStream it is
    <prefix>._meta_.dead.<token>.<index>     an event that it gave up
    <prefix>._meta_.delivery.<consumer of JetStream>.<index> how a delivery stands that goes from one server to another

Of each subject the last record counts; an empty one says that there is none. Every server follows the first two, so it
knows all consumers without asking. A record is written under the condition that the last one is the one that is known
here: two servers can't make consumers of the same name, or change one without knowing of each other.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable

from bus.engine.jetstream.error_mapping import NO_MESSAGE, WRONG_SEQUENCE, not_reached
from bus.engine.jetstream.naming import Naming
from bus.errors import ConflictError, UnavailableError
from bus.nats import ApiError, Delivery, JetStream, NatsError, StreamConfig
from bus.nats.message import encode_headers

log = logging.getLogger("bus.engine")

PATIENCE = 15.0
TRY_SECONDS = 2.0
PAUSE = 0.2
"""For how long a write is tried, how long one try may take, and the seconds between two."""

GONE_SECONDS = 86_400
DELIVERY_SECONDS = 8 * 86_400
"""After which what says that something is gone, and what tells of a delivery, are deleted."""

_EXPECTED = "Nats-Expected-Last-Subject-Sequence"
_TTL = "Nats-TTL"


def records_config(naming: Naming, *, replicas: int) -> StreamConfig:
    """The stream of the records."""
    return StreamConfig(
        name=naming.meta,
        subjects=(naming.record(">"),),
        description="Durable consumers of Bus: nobody else may publish to it.",
        num_replicas=replicas,
        max_msgs_per_subject=1,
        allow_direct=True,
        allow_msg_ttl=True,
    )


def redrives_config(naming: Naming, *, replicas: int) -> StreamConfig:
    """The stream of what is sent back to consumers."""
    return StreamConfig(
        name=naming.redrives,
        subjects=(naming.redrive("*"),),
        description="Events sent back to durable consumers of Bus: nobody else may publish to it.",
        retention="workqueue",
        num_replicas=replicas,
    )


class Records:
    """The records of one prefix. *changed* is told the subject and payload of each consumer's and dead event's."""

    def __init__(
        self, jetstream: JetStream, naming: Naming, *, changed: Callable[[str, bytes], None], loop: AbstractEventLoop
    ) -> None:
        self._jetstream = jetstream
        self._naming = naming
        self._changed = changed
        self._loop = loop
        self._sequences: dict[str, int] = {}
        self._seen = 0
        self._waiting: list[tuple[int, Future[None]]] = []
        self._caught_up: Future[None] = loop.create_future()
        subjects = naming.record("consumer", ">"), naming.record("dead", ">")
        self._ordered = jetstream.follow(naming.meta, self._heard, start=1, subjects=subjects)

    async def caught_up(self) -> None:
        """Return when all that is written by now is known. Raises `UnavailableError`."""
        subjects = [self._naming.record("consumer", ">"), self._naming.record("dead", ">")]
        try:
            counts = [(await self._jetstream.stream(self._naming.meta, subjects=each)).state for each in subjects]
        except NatsError as error:
            raise not_reached(error, "the records of durable consumers") from error
        if any(count.subjects for count in counts):
            await self._wait(self._caught_up)

    async def _wait(self, known: Future[None]) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.shield(known)
        except TimeoutError:
            raise UnavailableError("the records of durable consumers don't come in; try again") from None

    def _heard(self, heard: Delivery | NatsError) -> None:
        if isinstance(heard, NatsError):
            return  # it goes on by itself
        self._seen = heard.seq
        self._sequences[heard.subject] = heard.seq
        self._changed(heard.subject, heard.payload)
        if heard.pending == 0 and not self._caught_up.done():
            self._caught_up.set_result(None)
        waiting = self._waiting
        self._waiting = [one for one in waiting if one[0] > self._seen]
        for seq, known in waiting:
            if seq <= self._seen and not known.done():
                known.set_result(None)

    async def write(self, subject: str, payload: bytes) -> None:
        """Write a record in the place of the one that is known here, and return when it is known.

        Raises `ConflictError` if there is another one by now, or `UnavailableError`.
        """
        await self._write(subject, payload, {_EXPECTED: str(self._sequences.get(subject, 0))})

    async def put(self, subject: str, payload: bytes) -> None:
        """Write a record whatever there was, and return when it is known. Raises `UnavailableError`."""
        await self._write(subject, payload, {})

    async def _write(self, subject: str, payload: bytes, headers: dict[str, str]) -> None:
        gone = {} if payload else {_TTL: f"{GONE_SECONDS}s"}
        seq = await self._store(subject, payload, headers | gone)
        if seq > self._seen:
            known: Future[None] = self._loop.create_future()
            self._waiting.append((seq, known))
            await self._wait(known)

    async def note(self, subject: str, payload: bytes) -> None:
        """Write a record whatever there was, one that is not followed. Raises `UnavailableError`."""
        await self._store(subject, payload, {_TTL: f"{DELIVERY_SECONDS}s"})

    async def _store(self, subject: str, payload: bytes, headers: dict[str, str]) -> int:
        until = self._loop.time() + PATIENCE
        while True:
            try:
                encoded = encode_headers(headers)
                return (await self._jetstream.store(subject, payload, headers=encoded, seconds=TRY_SECONDS)).seq
            except ApiError as error:
                if error.err_code in WRONG_SEQUENCE:
                    return await self._stored_before(subject, payload)
                raise not_reached(error, "a record of a durable consumer isn't written") from error
            except NatsError as error:
                if self._loop.time() >= until:
                    raise not_reached(error, "a record of a durable consumer isn't written") from error
            await asyncio.sleep(PAUSE)

    async def _stored_before(self, subject: str, payload: bytes) -> int:
        """Where the record is, if a try before this one wrote it whose answer was lost. Raises `ConflictError`."""
        try:
            found = await self._jetstream.latest(self._naming.meta, subject)
        except NatsError as error:
            if isinstance(error, ApiError) and error.err_code == NO_MESSAGE:
                self._sequences.pop(subject, None)  # what said that there is none is deleted itself by now
                raise changed_meanwhile() from None
            raise not_reached(error, "a record of a durable consumer") from error
        if found.payload == payload:
            return found.seq
        raise changed_meanwhile()

    async def find(self, subject: str) -> bytes:
        """A record that isn't followed, empty if there is none. Raises `UnavailableError`."""
        try:
            return (await self._jetstream.latest(self._naming.meta, subject, seconds=TRY_SECONDS)).payload
        except NatsError as error:
            if isinstance(error, ApiError) and error.err_code == NO_MESSAGE:
                return b""
            raise not_reached(error, "a record of a durable consumer") from error

    async def forget(self, what: str, token: str) -> None:
        """Delete all records of this kind of one consumer. Raises `UnavailableError`."""
        try:
            await self._jetstream.purge_stream(self._naming.meta, subject=self._naming.record(what, token, ">"))
        except NatsError as error:
            raise not_reached(error, "the records of a durable consumer") from error

    async def close(self) -> None:
        """Follow no more."""
        await self._ordered.close()


def changed_meanwhile() -> ConflictError:
    """The error for what somebody else has changed since it was looked at."""
    return ConflictError("the consumer was changed meanwhile by somebody else: try again")
