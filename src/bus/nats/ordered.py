"""A stream as it comes in: every message in its order, once.

     create ──▶ subscribe, deliveries, flow control ──▶ hole, silence, loss: create anew behind the last

Silence is noticed by heartbeats that don't come, a hole by the numbers that a consumer gives to its deliveries.
Source: NATS ADR-17, "Ordered Consumer".
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from bus.nats.configs import NANOSECONDS, ConsumerConfig
from bus.nats.delivery import Delivery, delivery
from bus.nats.errors import ConnectionLostError, NatsError, RefusedError, StatusError
from bus.nats.message import Message
from bus.nats.pulling import HEARTBEAT, MISSED_HEARTBEATS, Heard

if TYPE_CHECKING:
    from bus.nats.api import JetStream

CREATE_SECONDS = 2.0
"""A leader that is being elected doesn't answer, and a consumer that was made without telling is forgotten."""


class OrderedConsumer:
    """All messages of *stream* from *start* on, in their order and each once, until it is closed.

    What it needs on the servers is made anew whenever a delivery is missing, no heartbeat comes or the connection is
    lost. *heard* is told each delivery, and each error on the way, after which it goes on by itself.
    """

    def __init__(
        self, jetstream: JetStream, stream: str, heard: Heard, *, start: int, subjects: Sequence[str], heartbeat: float
    ) -> None:
        self.next_seq = start
        self._jetstream = jetstream
        self._cluster = jetstream.requests.cluster
        self._stream = stream
        self._heard = heard
        self._subjects = tuple(subjects)
        self._heartbeat = heartbeat
        self._expected = 1
        self._missed = 0
        self._anew = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._cluster.listen(self)

    async def close(self) -> None:
        """Tell no more, and let the servers forget it."""
        self._cluster.ignore(self)
        self._task.cancel()
        await asyncio.wait([self._task])

    # What follows is called by the cluster.

    def lost(self, error: ConnectionLostError) -> None:
        self._heard(error)

    def back(self) -> None:
        self._anew.set()

    def refused(self, error: RefusedError) -> None:
        """Nothing comes then, which is noticed."""

    async def _run(self) -> None:
        while True:
            self._anew.clear()
            self._expected = 1
            inbox = f"{self._jetstream.requests.new_inbox()}.ordered"
            subscription = self._cluster.subscribe(inbox, self._took)
            try:
                await self._serve(inbox)
            except NatsError as error:
                self._heard(error)
                await self._pause()
            finally:
                self._cluster.unsubscribe(subscription)

    async def _serve(self, inbox: str) -> None:
        """Make a consumer and return when another is needed."""
        config = self._config(inbox)
        try:
            await self._jetstream.create_consumer(self._stream, config, seconds=CREATE_SECONDS)
            self._missed = 0
            while not self._anew.is_set() and self._missed <= MISSED_HEARTBEATS:
                await self._pause()
                self._missed += 1
        finally:
            self._forget(config.name)

    def _config(self, inbox: str) -> ConsumerConfig:
        return ConsumerConfig(
            name=secrets.token_hex(8),
            deliver_policy="by_start_sequence",
            opt_start_seq=self.next_seq,
            ack_policy="none",
            max_deliver=1,
            filter_subjects=self._subjects,
            deliver_subject=inbox,
            flow_control=True,
            idle_heartbeat=round(self._heartbeat * NANOSECONDS),
            inactive_threshold=60 * NANOSECONDS,
            num_replicas=1,
            mem_storage=True,
        )

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._heartbeat):
                await self._anew.wait()

    def _forget(self, name: str) -> None:
        if self._cluster.connected:
            self._cluster.publish(f"$JS.API.CONSUMER.DELETE.{self._stream}.{name}")

    def _took(self, message: Message) -> None:
        self._missed = 0
        if message.reply.startswith("$JS.ACK."):
            self._delivered(delivery(message))
        elif message.status == HEARTBEAT:
            self._still_there(message)
        else:
            self._heard(StatusError(message.subject, message.status, message.description))
            self._anew.set()

    def _delivered(self, delivered: Delivery) -> None:
        if self._anew.is_set():
            return
        if delivered.consumer_seq != self._expected:
            self._anew.set()
            return
        self._expected += 1
        self.next_seq = delivered.seq + 1
        self._heard(delivered)

    def _still_there(self, message: Message) -> None:
        """Answer flow control, and notice by a heartbeat that a delivery is missing."""
        answer_to = message.reply or message.header("Nats-Consumer-Stalled")
        if answer_to:
            self._cluster.publish(answer_to)
        last = message.header("Nats-Last-Consumer")
        if last is not None and int(last) >= self._expected:
            self._anew.set()
