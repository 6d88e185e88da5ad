"""A worker loop on threads.

stream ──reader thread──▶ queue ──▶ concurrent handlers ─ ──▶ ack, nack, reject
                                          ▲
          extending thread ── more time ──┘      main thread: waits to be told to stop
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Event as Flag
from threading import Thread
from typing import Protocol

from bus.client.blocking.delivery import Delivery
from bus.client.blocking.handling import Handler, Handling, TakenEvent
from bus.client.blocking.stream import Stream
from bus.client.blocking.tracing import traced
from bus.client.core.decode import UndecodableEventError
from bus.client.core.get_options import GetOptions
from bus.client.core.jobs import LONGEST_BLIND_WAIT, Jobs
from bus.client.core.signals import stopping_on_signals
from bus.client.core.worker_plan import WorkPlan, announce_stop, report_stale, report_unsettled
from bus.errors import BusError


class Subscribing(Protocol):
    """What a worker needs of a client."""

    def subscribe(self, options: GetOptions) -> Stream:
        """Subscribe, as `Client.get` does."""


class WorkLoop:
    """What a `Worker` runs."""

    def __init__(self, client: Subscribing, handler: Handler, plan: WorkPlan) -> None:
        self._client = client
        self._handler = self._call = handler
        self._plan = plan
        self._handling = Handling(plan)
        self._jobs: Jobs[Delivery] = Jobs(redelivery=plan.lease)
        self._queue: SimpleQueue[TakenEvent | None] = SimpleQueue()
        self._stops: SimpleQueue[BaseException | None] = SimpleQueue()  # its put is safe in a signal handler
        self._draining = Flag()
        self._drained = Flag()
        self._process = os.getpid()

    def run(self) -> None:
        """What `Worker.run` does."""
        self._process = os.getpid()
        subscribed = self._plan.subscription
        with stopping_on_signals(self.stop, wanted=self._plan.signals), self._client.subscribe(subscribed) as stream:
            stream.serve(self._jobs)
            self._call = traced(self._handler, stream.spans)
            reader = self._begin(self._read, stream)
            handlers = [self._begin(self._work) for _ in range(self._plan.concurrency)]
            extender = self._begin(self._extend)
            failure = self._await_stop()
            self._drain(handlers)
        reader.join()
        extender.join()
        if failure is not None:
            raise failure

    def stop(self) -> None:
        """Have `run` finish what is running and return. May be called from any thread and in a signal handler."""
        self._stops.put(None)

    def _await_stop(self) -> BaseException | None:
        while True:
            with suppress(Empty):
                return self._stops.get(timeout=LONGEST_BLIND_WAIT)

    def _begin(self, target: Callable[..., None], *args: Stream) -> Thread:
        thread = Thread(target=target, args=args, name=f"bus-worker-{self._plan.consumer}", daemon=True)
        thread.start()
        return thread

    def _drain(self, handlers: list[Thread]) -> None:
        self._draining.set()
        announce_stop(self._plan.consumer, self._jobs.count)
        for _ in handlers:
            self._queue.put(None)
        for thread in handlers:
            thread.join()
        self._drained.set()

    def _read(self, stream: Stream) -> None:
        try:
            while (taken := self._handling.take(stream)) is not None:
                self._queue.put(taken)
            self._stops.put(None)
        except BaseException as error:
            self._stops.put(error)

    def _work(self) -> None:
        while (taken := self._queue.get()) is not None:
            try:
                self._handle(*taken)
            except BusError as error:
                report_unsettled(taken[0], error)
            if self._forked:
                return

    def _handle(self, event: Delivery, problem: UndecodableEventError | None) -> None:
        again: Delivery | None = event
        while again is not None and not self._forked:
            again = self._attempt(again, problem)

    def _attempt(self, event: Delivery, problem: UndecodableEventError | None) -> Delivery | None:
        """Handle one delivery; returns the next one of its event if that is here already."""
        again = None
        if self._draining.is_set():
            self._handling.give_back(event)
        elif self._jobs.begin(event):
            try:
                self._run(event, problem)
            finally:
                again = self._jobs.end(event)
        else:
            report_stale(event)
        return again

    def _run(self, event: Delivery, problem: UndecodableEventError | None) -> None:
        """Call the handler, and say what came of it."""
        try:
            if problem is not None:
                raise problem
            result = self._call(event)
        except BaseException as error:
            if self._forked:
                raise
            self._handling.raised(event, error)
        else:
            if not self._forked:
                self._handling.returned(event, result)

    @property
    def _forked(self) -> bool:
        """Whether this is a child that a handler has forked, which has nothing to say about events."""
        return os.getpid() != self._process

    def _extend(self) -> None:
        while not self._drained.wait(self._jobs.extension):
            self._handling.extend(self._jobs.running())

    def __repr__(self) -> str:
        return f"{self._plan.consumer} on {','.join(self._plan.subjects)}, {self._jobs.count} running"
