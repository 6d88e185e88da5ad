"""Publishers that store messages in a cluster whatever happens to it, and the judgement of what came of it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise

from bus.nats import (
    ApiError,
    Chunk,
    Client,
    NatsError,
    NotDeliveredError,
    StreamConfig,
    UnknownOutcomeError,
    encode_headers,
)

STREAM = "faults"
PUBLISHERS = 8
UNDER_WAY = 10158
"""Another message with this id is being stored: its outcome isn't known yet."""
CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Number:
    """The n-th message of a publisher: there is one of it."""

    publisher: int
    number: int

    @classmethod
    def parse(cls, payload: bytes) -> Number:
        publisher, number = payload.split(b" ")
        return cls(int(publisher), int(number))

    def encode(self) -> bytes:
        return b"%d %d" % (self.publisher, self.number)


@dataclass(frozen=True, slots=True)
class Receipt:
    """A message that was acknowledged: at which place, and when (monotonic seconds)."""

    message: Number
    seq: int
    since: float


@dataclass(frozen=True, slots=True)
class Stored:
    """A message as it is read back."""

    message: Number
    seq: int


@dataclass(slots=True)
class Journal:
    """What was promised."""

    receipts: list[Receipt] = field(default_factory=list)
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    def acknowledge(self, receipt: Receipt) -> None:
        self.receipts.append(receipt)
        self._more.set()

    async def wait_for(self, count: int) -> None:
        """Return when each publisher has *count* more receipts."""
        had = self._counts()
        while any(self._counts()[publisher] < had[publisher] + count for publisher in range(PUBLISHERS)):
            self._more.clear()
            await self._more.wait()

    def _counts(self) -> Counter[int]:
        return Counter(receipt.message.publisher for receipt in self.receipts)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of what was acknowledged. *outage* is the longest time in which nobody was acknowledged."""

    acknowledged: int
    lost: int
    moved: int
    duplicated: int
    holes: int
    out_of_order: int
    outage: float

    def check(self) -> None:
        """All that was acknowledged is there once, in its place and in order."""
        wrong = (self.lost, self.moved, self.duplicated, self.holes, self.out_of_order)
        assert wrong == (0,) * 5, f"lost, moved, duplicated, holes, out of order: {wrong} of {self.acknowledged}"

    def __str__(self) -> str:
        return (
            f"{self.acknowledged} acknowledged, {self.lost} lost, {self.duplicated} duplicated, {self.holes} holes, "
            f"{self.out_of_order} out of order, outage {self.outage:.2f} s"
        )


def judge(receipts: Sequence[Receipt], stored: Sequence[Stored]) -> Verdict:
    """Compare what was promised with what is *stored*, in the order of its places."""
    places: dict[Number, list[int]] = {}
    for each in stored:
        places.setdefault(each.message, []).append(each.seq)
    kept = [receipt for receipt in receipts if receipt.message in places]
    return Verdict(
        acknowledged=len(receipts),
        lost=len(receipts) - len(kept),
        moved=sum(receipt.seq not in places[receipt.message] for receipt in kept),
        duplicated=len(stored) - len(places),
        holes=sum(after != before + 1 for before, after in pairwise([0, *(each.seq for each in stored)])),
        out_of_order=_out_of_order(each.message for each in stored),
        outage=max((after.since - before.since for before, after in pairwise(receipts)), default=0.0),
    )


def _out_of_order(messages: Iterable[Number]) -> int:
    latest: dict[int, int] = {}
    wrong = 0
    for message in messages:
        wrong += message.number < latest.get(message.publisher, 0)
        latest[message.publisher] = max(message.number, latest.get(message.publisher, 0))
    return wrong


@dataclass(frozen=True, slots=True)
class Publishing:
    """How messages are stored: each is tried again until it is acknowledged, by its id unless *ids* is False."""

    client: Client
    journal: Journal
    ids: bool = True
    seconds: float = 2.0

    async def run(self, publisher: int) -> None:
        """Store one message after the other."""
        number = 0
        while True:
            number += 1
            message = Number(publisher, number)
            self.journal.acknowledge(Receipt(message, await self._store(message), time.monotonic()))

    async def _store(self, message: Number) -> int:
        payload = message.encode()
        headers = encode_headers({"Nats-Msg-Id": payload.decode()}) if self.ids else b""
        subject = f"{STREAM}.p{message.publisher}"
        while True:
            try:
                ack = await self.client.jetstream.store(subject, payload, headers=headers, seconds=self.seconds)
                return ack.seq
            except (NotDeliveredError, UnknownOutcomeError):
                await asyncio.sleep(0.02)
            except ApiError as error:
                if error.err_code != UNDER_WAY and error.code != 503:
                    raise
                await asyncio.sleep(0.02)


@asynccontextmanager
async def publishing(load: Publishing) -> AsyncIterator[None]:
    """Have all publishers publish until the block ends. Raises what one of them can't go on after."""
    tasks = [asyncio.create_task(load.run(publisher)) for publisher in range(PUBLISHERS)]
    try:
        await load.journal.wait_for(20)
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in tasks:
        with suppress(asyncio.CancelledError):
            task.result()


async def make_stream(client: Client) -> None:
    """The stream, as soon as the cluster can make one."""
    config = StreamConfig(name=STREAM, subjects=(f"{STREAM}.>",), num_replicas=3, allow_direct=True)
    while True:
        try:
            await client.jetstream.create_stream(config)
            return
        except NatsError:
            await asyncio.sleep(0.1)


async def read_back(client: Client) -> list[Stored]:
    """All that the stream has, by the state its leader tells once there is one."""
    while True:
        try:
            last = (await client.jetstream.stream(STREAM)).state.last_seq
            break
        except NatsError:
            await asyncio.sleep(0.1)
    stored: list[Stored] = []
    while not stored or stored[-1].seq < last:
        chunk = await _read(client, stored[-1].seq + 1 if stored else 1)
        stored += [Stored(Number.parse(message.payload), message.seq) for message in chunk.messages]
    return stored


async def _read(client: Client, seq: int) -> Chunk:
    """Some of what follows; a replica that is behind may have nothing yet."""
    while True:
        told: asyncio.Future[Chunk | NatsError] = asyncio.get_running_loop().create_future()
        client.jetstream.read(STREAM, told.set_result, seq=seq, batch=CHUNK)
        chunk = await told
        if isinstance(chunk, Chunk) and chunk.messages:
            return chunk
        await asyncio.sleep(0.05)
