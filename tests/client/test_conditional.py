"""Both clients publish only if the log ends where it is expected to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from bus import AsyncClient, Client
from bus.errors import (
    ConnectionFailedError,
    DuplicateKeyError,
    InvalidEventError,
    InvalidParameterError,
    TimedOutError,
    WrongIndexError,
)
from bus.wire import encode_problem
from tests.client.conftest import Connect
from tests.client.support import Peer, Wire, accepted, answered
from tests.support import ServerProcess


def test_an_event_is_stored_if_the_log_ends_where_it_is_expected(
    server: ServerProcess, app: str, connect: Connect
) -> None:
    client = connect(server.url)
    first = client.put(f"{app}.a", 1, expect=0, expect_subject=0)
    second = client.put(f"{app}.b", 2, expect=first.index, expect_subject=0)
    with pytest.raises(WrongIndexError, match=f"last index of {app}.a is 1, not 0") as caught:
        client.put(f"{app}.a", 3, expect_subject=0)
    assert caught.value.actual == first.index
    with pytest.raises(WrongIndexError, match=f"last index of namespace {app} is 2, not 1") as caught:
        client.put(f"{app}.a", 3, expect=first.index)
    assert caught.value.actual == second.index
    assert client.put(f"{app}.a", 3, expect_subject=first.index).index == 3


def test_a_batch_is_stored_if_the_log_ends_where_it_is_expected(
    server: ServerProcess, app: str, connect: Connect
) -> None:
    client = connect(server.url)
    events = [{"subject": f"{app}.a", "payload": number} for number in range(3)]
    assert client.put_many(events, expect_subject=0).index == 3
    with pytest.raises(WrongIndexError) as caught:
        client.put_many(events, expect_subject=2)
    assert caught.value.actual == 3
    assert client.put_many([*events, {"subject": f"{app}.b"}], expect=3).index == 7
    with pytest.raises(InvalidEventError, match="events of one subject"):
        client.put_many([*events, {"subject": f"{app}.b"}], expect_subject=7)
    with pytest.raises(InvalidParameterError, match="goes with a batch"):
        client.put_many(events, atomic=False, expect=7)


def test_it_goes_with_confirmations_and_not_with_later(server: ServerProcess, app: str, connect: Connect) -> None:
    client = connect(server.url)
    with pytest.raises(TimedOutError) as caught:
        client.put(f"{app}.a", expect_subject=0, confirm=1, timeout=0.05)
    assert caught.value.receipt and caught.value.receipt.index == 1
    with pytest.raises(WrongIndexError):
        client.put(f"{app}.a", expect_subject=0, confirm=1)
    for later in ({"delay": "1h"}, {"deliver_at": "2099-01-01T00:00:00Z"}):
        with pytest.raises(InvalidParameterError, match="nobody knows yet"):
            client.put(f"{app}.a", expect=1, **later)


def test_of_threads_that_expect_the_same_one_wins(server: ServerProcess, app: str) -> None:
    def put(number: int) -> int:
        try:
            return client.put(f"{app}.a", number, expect_subject=0).index
        except WrongIndexError as error:
            return -error.actual

    with Client(server.url) as client, ThreadPoolExecutor(32) as pool:
        assert sorted(pool.map(put, range(32))) == [-1] * 31 + [1]


def test_of_tasks_that_expect_the_same_one_wins_beside_others_that_travel_together(
    server: ServerProcess, app: str
) -> None:
    async def run() -> list[object]:
        async with AsyncClient(server.url) as client:
            raced = [client.put(f"{app}.a", number, expect_subject=0) for number in range(32)]
            others = [client.put(f"{app}.b", number) for number in range(32)]
            return list(await asyncio.gather(*raced, *others, return_exceptions=True))

    kinds = [type(outcome) for outcome in asyncio.run(run())]
    assert kinds.count(WrongIndexError) == 31 and WrongIndexError not in kinds[32:]


StartPeer = Callable[..., Peer]


def test_it_is_not_sent_again_when_the_answer_is_lost(start_peer: StartPeer, connect: Connect) -> None:
    """Whether it was stored isn't known, and a refusal of the second one wouldn't tell."""
    peer = start_peer(Wire.request)
    with pytest.raises(ConnectionFailedError, match="may or may not be done"):
        connect(peer.url).put("app.a", expect_subject=0)
    assert b"POST /?expect_subject=0 " in peer.result(0)


def test_with_a_key_it_is_sent_again_and_its_duplicate_is_success(start_peer: StartPeer, connect: Connect) -> None:
    duplicate = answered(
        b"409 Conflict", encode_problem(DuplicateKeyError()), b"X-BUS-EVENT-ID: e_1", b"X-BUS-EVENT-INDEX: 1"
    )
    peer = start_peer(Wire.request, lambda wire: (wire.answer(duplicate), wire.answer(duplicate)))
    client = connect(peer.url)
    assert client.put("app.a", key="k", expect_subject=0).index == 1
    with pytest.raises(DuplicateKeyError):
        client.put("app.a", key="k", expect_subject=0)


def test_a_refusal_of_a_server_without_details_has_its_index(start_peer: StartPeer, connect: Connect) -> None:
    refusal = answered(b"412 Precondition Failed", b"no", b"X-BUS-EVENT-INDEX: 7")
    peer = start_peer(lambda wire: (wire.answer(refusal), wire.answer(accepted(1))))
    with pytest.raises(WrongIndexError) as caught:
        connect(peer.url).put("app.a", expect=1)
    assert caught.value.actual == 7
