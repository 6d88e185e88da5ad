"""What one replica in three has, however often one of the others answers."""

from __future__ import annotations

import asyncio

import pytest

from bus.engine.jetstream.chunk_reader import ATTEMPTS, ChunkReader
from bus.engine.jetstream.naming import Naming
from bus.errors import CorruptLogError
from tests.engine.jetstream.fake_nats import Answer, Asked, Said, connected

NAMING = Naming("p")
NOTHING = Said(b"", b"NATS/1.0 404 Message Not Found\r\n\r\n")
STORED = (
    b"NATS/1.0\r\nNats-Stream: s\r\n"
    b"Nats-Subject: %b\r\nNats-Sequence: 7\r\nNats-Time-Stamp: 2026-01-31T12:00:00Z\r\n\r\n"
) % NAMING.subject("app.a").encode()
FOUND = Said(b"1", STORED, then=Said(b"", b"NATS/1.0 204 EOB\r\n\r\n"))


def _read(answer: Answer) -> int:
    """The index of the event that is read at 7."""

    async def main() -> int:
        async with connected(answer) as client:
            reader = ChunkReader(
                client.jetstream, NAMING, "app",
                make_id=str, chosen=lambda found: None, first=_first, loop=asyncio.get_running_loop(),
            )  # fmt: skip
            if coming := reader.bring(7, end=8):
                await coming
            (batch,) = reader.read(7)
            return batch.first

    return asyncio.run(main())


async def _first() -> int:
    return 1


@pytest.mark.parametrize("missed", [0, 1, 30])
def test_an_event_that_one_replica_has_is_asked_for_until_that_one_answers(missed: int) -> None:
    answers = iter([NOTHING] * missed)
    assert _read(lambda asked: next(answers, FOUND) if _is_read(asked) else None) == 7


def test_an_event_that_nobody_has_is_given_up() -> None:
    asked_for = []

    def answer(asked: Asked) -> Said | None:
        asked_for.append(asked.subject)
        return NOTHING

    with pytest.raises(CorruptLogError, match="no replica has event 7"):
        _read(answer)
    assert len(asked_for) == ATTEMPTS


def _is_read(asked: Asked) -> bool:
    return "DIRECT.GET" in asked.subject
