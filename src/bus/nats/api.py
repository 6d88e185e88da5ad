"""JetStream: what is asked of it by requests to ``$JS.API``, and storing messages.

Each request is awaited with *seconds* of its own; what may come often has a form that tells a callback.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from bus.nats.configs import AccountInfo, ConsumerConfig, ConsumerInfo, PubAck, StreamConfig, StreamInfo
from bus.nats.delivery import Settlement
from bus.nats.errors import ApiError, NatsError, ProtocolError
from bus.nats.message import Message
from bus.nats.ordered import OrderedConsumer
from bus.nats.pulling import Heard, Puller
from bus.nats.reading import Chunk, StoredMessage, read_chunk, stored_message
from bus.nats.requests import Requests

API = "$JS.API"
SECONDS: Final = 5.0
"""How long an answer of the API is awaited if nothing else is said."""
PUBLISH_SECONDS: Final = 15.0
"""Longer than an election takes."""

_T = TypeVar("_T")
_Info = TypeVar("_Info", bound=msgspec.Struct)
Told = Callable[[_T | NatsError], None]


class _Refusal(msgspec.Struct, frozen=True):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Refused(msgspec.Struct, frozen=True):
    error: _Refusal | None = None


class _Success(msgspec.Struct, frozen=True):
    success: bool = False
    purged: int = 0


class _Page(msgspec.Struct, frozen=True):
    total: int = 0
    streams: tuple[StreamInfo, ...] | None = None
    consumers: tuple[ConsumerInfo, ...] | None = None


class _Message(msgspec.Struct, frozen=True):
    subject: str
    seq: int
    time: str
    hdrs: bytes = b""
    data: bytes = b""


class _Found(msgspec.Struct, frozen=True):
    message: _Message


class _Ack(msgspec.Struct, frozen=True):
    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    domain: str = ""
    batch: str = ""
    count: int = 0
    error: _Refusal | None = None


_decode_ack = msgspec.json.Decoder(_Ack).decode
_decode_refused = msgspec.json.Decoder(_Refused).decode


class JetStream:
    """JetStream by *requests*. All raise `ApiError` for what is refused, else what `Requests.send` tells."""

    def __init__(self, requests: Requests) -> None:
        self.requests = requests

    # Streams

    async def account(self, *, seconds: float = SECONDS) -> AccountInfo:
        """What this account uses."""
        return await self._ask("INFO", {}, AccountInfo, seconds)

    async def create_stream(self, config: StreamConfig, *, seconds: float = SECONDS) -> StreamInfo:
        """Make a stream; one that is just so is left as it is."""
        return await self._ask(f"STREAM.CREATE.{config.name}", config, StreamInfo, seconds)

    async def update_stream(self, config: StreamConfig, *, seconds: float = SECONDS) -> StreamInfo:
        """Change a stream to be as *config* says, all of it."""
        return await self._ask(f"STREAM.UPDATE.{config.name}", config, StreamInfo, seconds)

    async def stream(self, name: str, *, subjects: str = "", seconds: float = SECONDS) -> StreamInfo:
        """A stream as it is, with a count of messages for each subject that *subjects* matches."""
        asked = {"subjects_filter": subjects} if subjects else {}
        return await self._ask(f"STREAM.INFO.{name}", asked, StreamInfo, seconds)

    async def streams(self, *, subject: str = "", seconds: float = SECONDS) -> list[StreamInfo]:
        """All streams, or those that take some of *subject*."""
        found: list[StreamInfo] = []
        while True:
            page = await self._ask("STREAM.LIST", {"offset": len(found), "subject": subject}, _Page, seconds)
            found += page.streams or ()
            if not page.streams or len(found) >= page.total:
                return found

    async def delete_stream(self, name: str, *, seconds: float = SECONDS) -> None:
        """Delete a stream and all it holds."""
        await self._ask(f"STREAM.DELETE.{name}", None, _Success, seconds)

    async def purge_stream(
        self, name: str, *, below: int = 0, subject: str = "", keep: int = 0, seconds: float = SECONDS
    ) -> int:
        """Delete messages *below* a sequence, of *subject*, but for the last *keep*; returns how many."""
        asked = {"seq": below, "filter": subject, "keep": keep}
        wanted = {name: value for name, value in asked.items() if value}
        return (await self._ask(f"STREAM.PURGE.{name}", wanted, _Success, seconds)).purged

    # Consumers

    async def create_consumer(
        self, stream: str, config: ConsumerConfig, *, action: str = "create", seconds: float = SECONDS
    ) -> ConsumerInfo:
        """Make a consumer. With *action* ``update`` it has to be there, with an empty one it may be."""
        name = config.name or config.durable_name
        asked = {"stream_name": stream, "config": config, "action": action}
        operation = f"CONSUMER.CREATE.{stream}.{name}" if name else f"CONSUMER.CREATE.{stream}"
        return await self._ask(operation, asked, ConsumerInfo, seconds)

    async def consumer(self, stream: str, name: str, *, seconds: float = SECONDS) -> ConsumerInfo:
        """A consumer as it is."""
        return await self._ask(f"CONSUMER.INFO.{stream}.{name}", None, ConsumerInfo, seconds)

    async def consumers(self, stream: str, *, seconds: float = SECONDS) -> list[ConsumerInfo]:
        """All consumers of a stream."""
        found: list[ConsumerInfo] = []
        while True:
            page = await self._ask(f"CONSUMER.LIST.{stream}", {"offset": len(found)}, _Page, seconds)
            found += page.consumers or ()
            if not page.consumers or len(found) >= page.total:
                return found

    async def delete_consumer(self, stream: str, name: str, *, seconds: float = SECONDS) -> None:
        """Delete a consumer and what it remembers."""
        await self._ask(f"CONSUMER.DELETE.{stream}.{name}", None, _Success, seconds)

    # Storing

    def publish(
        self,
        subject: str,
        payload: bytes,
        done: Told[PubAck],
        *,
        headers: bytes = b"",
        seconds: float = PUBLISH_SECONDS,
    ) -> None:
        """Store a message, and tell *done* where it is: `PubAck`, `ApiError`, or what `Requests.send` tells."""
        self.requests.send(
            subject, payload, lambda answer: done(_acknowledged(subject, answer)), seconds=seconds, headers=headers
        )

    async def store(
        self, subject: str, payload: bytes, *, headers: bytes = b"", seconds: float = PUBLISH_SECONDS
    ) -> PubAck:
        """Store a message and return where it is."""
        answer = _acknowledged(subject, await self.requests.ask(subject, payload, seconds=seconds, headers=headers))
        if isinstance(answer, NatsError):
            raise answer
        return answer

    # Reading

    def read(
        self, stream: str, done: Told[Chunk], *, seq: int, batch: int, max_bytes: int = 0, seconds: float = SECONDS
    ) -> None:
        """Read from *seq* on, at most *batch* messages of about *max_bytes*, and tell *done* all at once."""
        wanted = {"seq": seq, "batch": batch} | ({"max_bytes": max_bytes} if max_bytes else {})
        read_chunk(self.requests, f"{API}.DIRECT.GET.{stream}", msgspec.json.encode(wanted), done, seconds=seconds)

    async def get(self, stream: str, seq: int, *, seconds: float = SECONDS) -> StoredMessage:
        """The message at *seq*, from any replica. Raises `NotFoundError`; a replica may be behind."""
        return await self._get(stream, {"seq": seq}, seconds)

    async def get_last(self, stream: str, subject: str, *, seconds: float = SECONDS) -> StoredMessage:
        """The last message of *subject*, from any replica. Raises `NotFoundError`; a replica may be behind."""
        return await self._get(stream, {"last_by_subj": subject}, seconds)

    async def latest(self, stream: str, subject: str, *, seconds: float = SECONDS) -> StoredMessage:
        """The last message of *subject*, from the leader, which knows all that was acknowledged.

        Raises `ApiError` if there is none.
        """
        answer = await self._ask(f"STREAM.MSG.GET.{stream}", {"last_by_subj": subject}, _Found, seconds)
        found = answer.message
        return StoredMessage(found.subject, found.seq, found.time, found.hdrs, found.data)

    async def _get(self, stream: str, wanted: Mapping[str, int | str], seconds: float) -> StoredMessage:
        subject = f"{API}.DIRECT.GET.{stream}"
        return stored_message(await self.requests.ask(subject, msgspec.json.encode(wanted), seconds=seconds))

    # Consuming

    def puller(self, stream: str, consumer: str, heard: Heard) -> Puller:
        """What asks a consumer for messages, of which *heard* is told."""
        return Puller(self.requests, f"{API}.CONSUMER.MSG.NEXT.{stream}.{consumer}", heard)

    def settle(
        self, reply: str, settlement: Settlement, done: Told[Message] | None = None, *, seconds: float = SECONDS
    ) -> None:
        """Say what became of the delivery whose reply subject is *reply*; with *done* the server confirms it.

        Without *done*, raises `DisconnectedError` if no server is connected.
        """
        if done is None:
            self.requests.cluster.publish(reply, settlement)
        else:
            self.requests.send(reply, settlement, done, seconds=seconds)

    def follow(
        self, stream: str, heard: Heard, *, start: int, subjects: Sequence[str] = (), heartbeat: float = 1.0
    ) -> OrderedConsumer:
        """All messages from *start* on in their order, over lost connections and leaders, until it is closed."""
        return OrderedConsumer(self, stream, heard, start=start, subjects=subjects, heartbeat=heartbeat)

    async def _ask(self, operation: str, asked: object, answer: type[_Info], seconds: float) -> _Info:
        subject = f"{API}.{operation}"
        payload = msgspec.json.encode(asked) if asked is not None else b""
        message = await self.requests.ask(subject, payload, seconds=seconds)
        try:
            refused = _decode_refused(message.payload).error
            if refused is None:
                return msgspec.json.decode(message.payload, type=answer)
        except msgspec.MsgspecError as error:
            raise ProtocolError(f"{subject} answered what can't be read: {error}") from None
        raise _api_error(subject, refused)


def _acknowledged(subject: str, answer: Message | NatsError) -> PubAck | NatsError:
    if isinstance(answer, NatsError):
        return answer
    try:
        ack = _decode_ack(answer.payload)
    except msgspec.MsgspecError:
        return ProtocolError(f"{subject} answered what is no acknowledgement; does a stream take it?")
    if ack.error is not None:
        return _api_error(subject, ack.error)
    return PubAck(ack.stream, ack.seq, ack.duplicate, ack.domain, ack.batch, ack.count)


def _api_error(subject: str, refused: _Refusal) -> ApiError:
    return ApiError(subject, code=refused.code, err_code=refused.err_code, description=refused.description)
