"""What the answers of JetStream to a publisher mean: receipts, and errors that tell what is there instead.

A key that was used, and an end of the stream that isn't where it was expected, are told by a number alone; what the
publisher is to know of them is asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from bus.engine.base import Expected, Outcome
from bus.engine.checked_draft import CheckedDraft
from bus.engine.jetstream.error_mapping import WRONG_SEQUENCE, publish_error
from bus.engine.jetstream.message import AT, MESSAGE_ID, Stored, decode_event, message_id
from bus.engine.jetstream.naming import Naming
from bus.errors import BusError, DuplicateKeyError, WrongIndexError
from bus.event import Receipt
from bus.nats import (
    ApiError,
    JetStream,
    NatsError,
    NotDeliveredError,
    NotFoundError,
    PubAck,
    StoredMessage,
    UnknownOutcomeError,
)
from bus.units import format_time

Conditions = Mapping[str, str]
"""The headers that say where a stream is to end."""

ATTEMPTS = 10
PAUSE = 0.05
"""How often a message that a replica may not have yet is asked for, and the seconds between."""

_LAST: Final = "Nats-Expected-Last-Sequence"
_LAST_OF_SUBJECT: Final = "Nats-Expected-Last-Subject-Sequence"


def conditions_of(expected: Expected | None) -> Conditions:
    """What is *expected*, as headers."""
    found: dict[str, str] = {}
    if expected and expected.last is not None:
        found[_LAST] = str(expected.last)
    if expected and expected.last_of_subject is not None:
        found[_LAST_OF_SUBJECT] = str(expected.last_of_subject)
    return found


class PublishOutcomes:
    """Receipts and errors for publishers to the stream of *namespace*, whose ids *make_id* makes of their indexes."""

    def __init__(self, jetstream: JetStream, naming: Naming, namespace: str, *, make_id: Callable[[int], str]) -> None:
        self._jetstream = jetstream
        self._naming = naming
        self._namespace = namespace
        self._stream = naming.stream(namespace)
        self._make_id = make_id

    def receipt(self, event: CheckedDraft, index: int) -> Receipt:
        """The receipt of *event*, which was stored at *index*."""
        return Receipt(event.event_id or self._make_id(index), format_time(event.time), index)

    async def error_of(self, answer: PubAck | NatsError, event: CheckedDraft, conditions: Conditions) -> BusError:
        """Why *event* isn't stored under these *conditions*, or isn't known to be; a `PubAck` is of a used key.

        Raises a `NatsError` if what there is instead can't be asked for.
        """
        if isinstance(answer, PubAck):
            return await self._duplicate_of(answer.seq)
        if isinstance(answer, ApiError) and answer.err_code in WRONG_SEQUENCE:
            return await self._used_by_last(event) or await self._wrong_index(event, conditions)
        return publish_error(answer, self._namespace)

    async def outcome_of(self, answer: PubAck | NatsError, event: CheckedDraft, conditions: Conditions) -> Outcome:
        """As `error_of`, for an *event* that was sent before and had no answer: it may be stored by then."""
        if isinstance(answer, PubAck) and await self._is_at(answer.seq, event):
            return self.receipt(event, answer.seq)
        if isinstance(answer, NotDeliveredError):
            answer = UnknownOutcomeError(str(answer))
        return await self.error_of(answer, event, conditions)

    async def _is_at(self, index: int, event: CheckedDraft) -> bool:
        """Whether *event* itself is stored at *index*, not another one with its key: by its time, in ns, and payload.

        Raises a `NatsError` if that can't be asked for.
        """
        found = await self._find(index)
        return (found.header(AT), found.payload) == (str(event.time), event.payload)

    async def _find(self, index: int) -> StoredMessage:
        """The message at *index*, which is stored: a replica that hasn't got it is behind."""
        for _ in range(ATTEMPTS):
            try:
                return await self._jetstream.get(self._stream, index)
            except NotFoundError:
                await asyncio.sleep(PAUSE)
        return await self._jetstream.get(self._stream, index)

    async def first_duplicate(self, events: Sequence[CheckedDraft]) -> BusError:
        """Which of the keys of a batch was used before isn't said: ask for the newest event of each subject."""
        for event in events:
            if error := await self._used_by_last(event):
                return error
        return DuplicateKeyError()

    async def _duplicate_of(self, index: int) -> BusError:
        """The error for a key that the event at *index* was the first to use."""
        try:
            return DuplicateKeyError(receipt=self._receipt_of(await self._find(index)))
        except NatsError:
            return DuplicateKeyError()

    async def _used_by_last(self, event: CheckedDraft) -> DuplicateKeyError | None:
        """The error for a key that the newest event of the subject has used, None if it hasn't."""
        if event.key is None:
            return None
        try:
            found = await self._jetstream.get_last(self._stream, self._naming.subject(event.key[0]))
        except NatsError:
            return None
        is_used = found.header(MESSAGE_ID) == message_id(*event.key)
        return DuplicateKeyError(receipt=self._receipt_of(found)) if is_used else None

    async def _wrong_index(self, event: CheckedDraft, conditions: Conditions) -> BusError:
        """The error for a log that doesn't end where it is expected to."""
        subject, stream = event.subject.decode(), await self._jetstream.stream(self._stream)
        last = stream.state.last_seq
        if conditions.get(_LAST) not in (None, str(last)):
            return _wrong(f"namespace {self._namespace}", last, conditions[_LAST])
        try:
            last = (await self._jetstream.get_last(self._stream, self._naming.subject(subject))).seq
        except NotFoundError:
            last = 0
        return _wrong(subject, last, conditions.get(_LAST_OF_SUBJECT, ""))

    def _receipt_of(self, message: StoredMessage) -> Receipt:
        found = decode_event(Stored(message.subject, message.seq, message.headers, message.payload), self._make_id)
        return Receipt(found.event_id, format_time(found.time), message.seq)

    def __repr__(self) -> str:
        return f"<PublishOutcomes of {self._namespace}>"


def _wrong(of: str, last: int, expected: str) -> WrongIndexError:
    return WrongIndexError(
        f"the last index of {of} is {last}, not {expected}: look at what came, and publish again", actual=last
    )
