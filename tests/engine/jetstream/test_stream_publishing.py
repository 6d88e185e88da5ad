"""What publishers are told of answers that a real server gives rarely."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence

import msgspec
import pytest

from bus.engine.base import Outcome
from bus.engine.jetstream import publish_attempt, publish_outcomes, stream_publishing
from bus.engine.jetstream.error_mapping import ID_UNDER_WAY
from bus.engine.jetstream.naming import Naming
from bus.engine.jetstream.stream_publishing import StreamPublishing
from bus.errors import BusError, UnavailableError, UnconfirmedError
from bus.event import Draft
from bus.latency import Latency
from bus.wire import Durability
from tests.engine.jetstream.fake_nats import Asked, Said, connected


class Waiting:
    """A publisher, and what it is told."""

    def __init__(self) -> None:
        self.told: asyncio.Future[Sequence[Outcome]] = asyncio.get_running_loop().create_future()

    def stored(self, outcomes: Sequence[Outcome], durability: Durability) -> None:
        self.told.set_result(outcomes)

    def failed(self, error: BusError) -> None:
        self.told.set_result([error])


async def publish(answer: object, *, atomic: bool) -> tuple[Sequence[Outcome], StreamPublishing]:
    said = Said(json.dumps(answer).encode())
    async with connected(lambda asked: said if asked.headers else None) as client:
        publishing = StreamPublishing(
            client.jetstream, Naming("test"), "app",
            make_id=str, window=86_400.0, durability=Durability.REPLICATED, published=Latency(),
            loop=asyncio.get_running_loop(),
        )  # fmt: skip
        waiting, drafts = Waiting(), [Draft(subject="app.a", payload=msgspec.Raw(b"1"), key="k")]
        if atomic:
            publishing.publish(drafts, waiting, None, now=time.time_ns())
        else:
            publishing.publish_each(drafts, waiting, now=time.time_ns())
        return await waiting.told, publishing


@pytest.mark.parametrize("atomic", [True, False])
def test_who_shares_a_key_that_stays_on_its_way_hears_of_it_in_the_end(
    monkeypatch: pytest.MonkeyPatch, atomic: bool
) -> None:
    monkeypatch.setattr(stream_publishing, "PATIENCE", 0.05)
    answer = {"error": {"code": 400, "err_code": ID_UNDER_WAY, "description": "duplicate message id is in process"}}
    (outcome,), publishing = asyncio.run(publish(answer, atomic=atomic))
    assert isinstance(outcome, UnavailableError) and "in process" in outcome.message
    assert publishing.under_way == 0


def test_what_is_stored_has_a_receipt() -> None:
    """The control of the others: this server is understood."""
    (outcome,), publishing = asyncio.run(publish({"stream": "s", "seq": 7}, atomic=True))
    assert not isinstance(outcome, BusError) and outcome.index == 7
    assert publishing.under_way == 0


class Behind:
    """A stream that has an event and was silent about it; the replicas that are asked first don't have it yet."""

    def __init__(self, replicas: int, found: bytes = b"") -> None:
        self._behind = replicas
        self._stored = found

    def __call__(self, asked: Asked) -> Said | None:
        if "DIRECT.GET" in asked.subject:
            self._behind -= 1
            return Said(b"", b"NATS/1.0 404 Message Not Found\r\n\r\n") if self._behind >= 0 else self._found()
        if asked.headers and not self._stored:
            self._stored = asked.headers
            return None
        return Said(b'{"stream": "s", "seq": 7, "duplicate": true}') if asked.headers else None

    def _found(self) -> Said:
        where = b"Nats-Subject: test.app.a\r\nNats-Sequence: 7\r\nNats-Time-Stamp: 2026-01-31T12:00:00Z\r\n\r\n"
        return Said(b"1", self._stored.removesuffix(b"\r\n") + b"Nats-Stream: s\r\n" + where)


async def publish_to(stream: Behind) -> Outcome:
    async with connected(stream) as client:
        publishing = StreamPublishing(
            client.jetstream, Naming("test"), "app",
            make_id=str, window=86_400.0, durability=Durability.REPLICATED, published=Latency(),
            loop=asyncio.get_running_loop(),
        )  # fmt: skip
        waiting = Waiting()
        draft = Draft(subject="app.a", payload=msgspec.Raw(b"1"), key="k")
        publishing.publish([draft], waiting, None, now=time.time_ns())
        return (await waiting.told)[0]


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_attempt, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(publish_outcomes, "PAUSE", 0.001)


@pytest.mark.usefixtures("hasty")
def test_a_replica_that_is_behind_is_asked_again() -> None:
    outcome = asyncio.run(publish_to(Behind(replicas=3)))
    assert not isinstance(outcome, BusError) and outcome.index == 7


@pytest.mark.usefixtures("hasty")
def test_what_nobody_has_may_be_stored() -> None:
    assert isinstance(asyncio.run(publish_to(Behind(replicas=1000))), UnconfirmedError)
