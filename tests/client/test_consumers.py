"""``client.consumers``: durable consumers as both clients look after them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bus import (
    ConsumerDescription,
    ConsumerMismatchError,
    InvalidParameterError,
    Move,
    UnknownConsumerError,
    UnknownEventError,
)
from tests.client.conftest import Connect
from tests.support import ServerProcess


def test_a_consumer_is_made_changed_and_forgotten(server: ServerProcess, app: str, connect: Connect) -> None:
    client = connect(server.url)
    name = f"made-{app}"
    made = client.consumers.edit(
        name, subject=[f"{app}.a", f"{app}.b"], start="oldest", redelivery=[0.5, "1m"], redelivery_count=0, order="key",
        expires=3600,
    )  # fmt: skip
    assert isinstance(made, ConsumerDescription)
    assert (made.patterns, made.redelivery, made.redelivery_count, made.order, made.expires) == (
        [f"{app}.a", f"{app}.b"], "500ms,1m", 0, "key", "1h",
    )  # fmt: skip
    changed = client.consumers.edit(name, order="none", expires="default", redelivery_count=7)
    assert (changed.order, changed.expires, changed.redelivery_count, changed.redelivery) == (None, None, 7, "500ms,1m")
    assert client.consumers.get(name) == changed
    assert changed in client.consumers.list()
    with pytest.raises(ConsumerMismatchError, match="is of namespace"):
        client.consumers.edit(name, subject="app.a")
    client.consumers.delete(name)
    for call in (client.consumers.get, client.consumers.pause, client.consumers.pending, client.consumers.delete):
        with pytest.raises(UnknownConsumerError):
            call(name)


def test_it_is_paused_and_moved_while_somebody_is_connected(server: ServerProcess, app: str, connect: Connect) -> None:
    client, subject, name = connect(server.url), f"{app}.a", f"paused-{app}"
    ids = [client.put(subject, number).id for number in range(5)]
    events = client.get(subject, start="oldest", ack="manual", consumer=name, timeout=20)
    next(events).ack()
    assert client.consumers.pause(name).paused
    assert client.consumers.move(name, "oldest", dry_run=True).moved is False
    moved = client.consumers.move(name, "-1")
    assert isinstance(moved, Move) and moved.moved and moved.repeats >= 1
    assert client.consumers.pending(name).count == 0
    (connection,) = client.consumers.connections(name)
    assert (connection.address, connection.in_flight) == ("127.0.0.1", 0)
    client.consumers.move(name, 4)
    assert not client.consumers.resume(name).paused
    while (event := next(events)).id != ids[3]:
        pass
    event.ack()


@pytest.mark.parametrize("to", ["oldest", 1, -2, "+1", timedelta(hours=1), datetime(2026, 1, 1, tzinfo=UTC)])
def test_it_is_moved_to_whatever_a_subscription_may_start_at(
    server: ServerProcess, app: str, connect: Connect, to: object
) -> None:
    client, name = connect(server.url), f"moved-{app}"
    client.consumers.edit(name, subject=f"{app}.a")
    assert client.consumers.move(name, to) == Move(1, 1, 0, 0, 0, True)
    with pytest.raises(UnknownEventError):
        client.consumers.move(name, 9)
    with pytest.raises(InvalidParameterError):
        client.consumers.move(name, "!")
    with pytest.raises(InvalidParameterError, match="time zone"):
        client.consumers.move(name, datetime(2026, 1, 1))


def test_a_stream_goes_on_after_a_change_that_it_fits_and_ends_by_one_that_it_does_not(
    server: ServerProcess, app: str, connect: Connect
) -> None:
    client, subject, name = connect(server.url), f"{app}.a", f"changed-{app}"
    events = client.get(subject, start="oldest", ack="manual", consumer=name, timeout=20)
    client.put(subject, 1)
    next(events).ack()
    client.consumers.edit(name, order="key")
    client.put(subject, 2)
    event = next(events)
    assert event.payload == 2
    event.ack()
    client.consumers.edit(name, subject=f"{app}.b")
    with pytest.raises(ConsumerMismatchError, match="bus consumers edit"):
        next(events)
