"""Durable consumers as they are told of: what a server says of one, of its deliveries, its connections and a move."""

from __future__ import annotations

import msgspec


class ConsumerDescription(msgspec.Struct, frozen=True):
    """A durable consumer: its terms, where it is, what it has pending, and why nothing is being delivered.

    Attributes:
        name: its name.
        namespace: the namespace it reads.
        patterns: which subjects of that.
        redelivery: how long each attempt may take, separated by commas, the last one repeating.
        redelivery_count: attempts in all before an event is given up, 0 for no limit.
        order: ``key`` if no two events of one key are in flight at once, else nothing.
        next_index: the index that it reads next.
        behind: how many events that its patterns take it has yet to read.
        counting: whether *behind* is a lower bound yet.
        pending: how many events it has read that aren't settled.
        in_flight: how many of these are with a connection.
        dead: how many it gave up.
        connections: how many connections share it.
        why: why nothing is being delivered, in a line.
        paused: whether nothing is handed out until it is resumed.
        expires: how long it is kept without a connection, ``0`` for ever; nothing if the server's setting holds.
        delivered: how many deliveries there were since the server started or its terms changed.
        redelivered: how many of these were of events that had come back.
        oldest_in_flight: since when the delivery is with a connection that has been there for longest, RFC 3339;
            nothing if none is.
    """

    name: str
    namespace: str
    patterns: list[str]
    redelivery: str
    redelivery_count: int
    order: str | None
    next_index: int
    behind: int
    counting: bool
    pending: int
    in_flight: int
    dead: int
    connections: int
    why: str
    paused: bool = False
    expires: str | None = None
    delivered: int = 0
    redelivered: int = 0
    oldest_in_flight: str | None = None


class PendingDelivery(msgspec.Struct, frozen=True):
    """An event that a consumer has read and not settled.

    Attributes:
        index: the event's place in its namespace.
        event_id: its id.
        state: ``in flight``, ``ready`` to be delivered again, ``delayed`` by a nack, ``held`` behind its key, or
            ``awaited``: for the worker that was lost in its last attempt.
        attempts: how often it was delivered.
        connection: the id of the connection that had it last, ``c_…``; empty if none had since the server started.
        since: when it was delivered last, RFC 3339; empty likewise.
        due: when its state ends by itself, RFC 3339; empty if it doesn't.
    """

    index: int
    event_id: str
    state: str
    attempts: int
    connection: str
    since: str
    due: str


class PendingDeliveries(msgspec.Struct, frozen=True):
    """What a consumer has pending.

    Attributes:
        count: how many events in all.
        pending: the first of them, by their index.
    """

    count: int
    pending: list[PendingDelivery]


class ConsumerConnection(msgspec.Struct, frozen=True):
    """One connection of a consumer.

    Attributes:
        consumer_id: its id, ``c_…``, by which it acknowledges.
        address: from where it is connected.
        worker: the process it is of, if that has a name.
        since: when it subscribed, RFC 3339.
        in_flight: how many events it has.
        prefetch: how many it may have.
        silent: whether it let a delivery time out and says nothing since.
    """

    consumer_id: str
    address: str
    worker: str
    since: str
    in_flight: int
    prefetch: int
    silent: bool


class Move(msgspec.Struct, frozen=True, rename={"from_index": "from", "to_index": "to"}):
    """A move of a consumer, or what it would be.

    Attributes:
        from_index: the index that it would have read next.
        to_index: the index that it reads next from then on.
        repeats: how many events are delivered again that it had read already.
        skips: how many events are not delivered (any more) that it had yet to settle.
        forgotten: how many deliveries were pending and are forgotten, whether their events are repeated or skipped.
        moved: whether it was moved; otherwise this is what it would have been.
    """

    from_index: int
    to_index: int
    repeats: int
    skips: int
    forgotten: int
    moved: bool
