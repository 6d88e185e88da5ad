"""Stored messages, read without a consumer by DIRECT.GET: one of them, or a chunk in the order of the stream.

A replica answers with a message whose headers say what it was stored with: ``Nats-Subject``, ``Nats-Sequence``,
``Nats-Time-Stamp``; they stand behind those of its publisher. The last of a chunk is a status, 204, or 404 if there is
nothing. Source: NATS ADR-31, "JetStream Direct Get".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec import Struct

from bus.nats.errors import NatsError, NotFoundError, StatusError
from bus.nats.message import Message, header
from bus.nats.requests import Requests

_PUBLISHED = b"NATS/1.0\r\n"
_SUBJECT = b"\r\nNats-Subject: "


class StoredMessage(Struct, frozen=True, gc=False):
    """A message of a stream. *headers* are the publisher's, and the server's; *time* is as in RFC 3339."""

    subject: str
    seq: int
    time: str
    headers: bytes
    payload: bytes

    def header(self, name: str) -> str | None:
        """The first value of one header."""
        return header(self.headers, name)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Messages in their order, behind which *pending* are left. *last_seq* is the stream's as the replica knows it.

    Both are 0 where it has nothing.
    """

    messages: list[StoredMessage] = field(default_factory=list)
    last_seq: int = 0
    pending: int = 0


def stored_message(message: Message) -> StoredMessage:
    """What an answer holds. Raises `NotFoundError` or `StatusError` if it is a status."""
    if not message.headers.startswith(_PUBLISHED):
        raise status_error(message)
    headers = message.headers
    subject, sequence, time, _ = headers[headers.rindex(_SUBJECT) + len(_SUBJECT) :].decode().split("\r\n", 3)
    # "Nats-Sequence: " and "Nats-Time-Stamp: " always follow.
    return StoredMessage(subject, int(sequence[15:]), time[17:], headers, message.payload)


def status_error(message: Message) -> StatusError:
    """The error that an answer without a message stands for."""
    error = NotFoundError if message.status == 404 else StatusError
    return error(message.subject, message.status, message.description)


class _Reading:
    """One chunk as it comes in; the time it may take begins anew with each message."""

    def __init__(self, requests: Requests, done: Callable[[Chunk | NatsError], None]) -> None:
        self._requests = requests
        self._done = done
        self._messages: list[StoredMessage] = []

    def ask(self, subject: str, wanted: bytes, seconds: float) -> None:
        self._request = self._requests.send(subject, wanted, self._heard, seconds=seconds, many=True)

    def _heard(self, answer: Message | NatsError) -> None:
        if isinstance(answer, NatsError):
            self._done(answer)
        elif answer.headers.startswith(_PUBLISHED):
            self._messages.append(stored_message(answer))
            self._requests.extend(self._request)
        else:
            self._requests.end(self._request)
            self._done(self._ended(answer))

    def _ended(self, answer: Message) -> Chunk | StatusError:
        if answer.status not in (204, 404):
            return status_error(answer)
        last, pending = answer.header("Nats-Last-Sequence"), answer.header("Nats-Num-Pending")
        return Chunk(self._messages, int(last or 0), int(pending or 0))


def read_chunk(
    requests: Requests, subject: str, wanted: bytes, done: Callable[[Chunk | NatsError], None], *, seconds: float
) -> None:
    """Ask *subject* for a chunk and tell *done*: all of it, or why there is none."""
    _Reading(requests, done).ask(subject, wanted, seconds)
