"""A worker loop on threads.

stream ──reader thread──▶ queue ──▶ concurrent handlers ─ ──▶ ack, nack, reject
                                          ▲
          extending thread ── more time ──┘      main thread: waits to be told to stop
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Event as Flag
from threading import Thread
from typing import Any, Literal, Protocol, cast

from bus.client.blocking.delivery import Delivery
from bus.client.blocking.stream import Stream
from bus.client.core.decode import UndecodableEventError
from bus.client.core.jobs import GLANCE, Jobs
from bus.client.core.query import Duration, Start
from bus.client.core.signals import stopping_on_signals
from bus.client.core.worker_plan import Plan, announce_stop, describe, rejection, report, report_stale
from bus.errors import BusError, InvalidEventError

Handler = Callable[[Delivery], Any]
"""What is called with each event; a result other than None answers a request."""


_Taken = tuple[Delivery, UndecodableEventError | None]


class Subscribing(Protocol):
    """What a worker needs of a client."""

    @property
    def get(self) -> Callable[..., Stream]:
        """Subscribe, as `Client.get` does."""


class Worker:
    """Handles the events of a durable consumer, several at once, each in a thread.

    A handler that returns acknowledges the event, and answers it if it is a request; raising `RejectError`
    gives it up; any other exception has it delivered again after the next of the *backoff* delays, while a
    request is rejected with that exception as its reason. While a handler runs its event isn't delivered to
    anybody else: the worker keeps asking for more time. Several workers of one *consumer* share the work.

    Parameters:
        client: the client to subscribe with.
        subject: a pattern, or several of one namespace.
        handler: called with each event.
        consumer: the name of the durable consumer.
        concurrency: handlers that run at once, and events on their way to this worker.
        order: with ``"key"`` no two events of one key are handled at once, by any worker of this consumer.
        start: where a consumer that is new begins, as in `Client.get`.
        redelivery: seconds, or text such as ``"30s"``, after which others get the events of a worker that died.
        redelivery_count: attempts in all before an event goes to the dead letters; 0 for no limit.
        backoff: seconds, or text, until the second, third, … attempt; the last one repeats.
        signals: stop on SIGTERM and SIGINT, if `run` is called by the main thread and the program handles them
            nowhere else; False leaves them alone.
    """

    def __init__(
        self,
        client: Subscribing,
        subject: str | Sequence[str],
        handler: Handler,
        *,
        consumer: str,
        concurrency: int = 8,
        order: Literal["key"] | None = None,
        start: Start = "oldest",
        redelivery: Duration = "30s",
        redelivery_count: int = 5,
        backoff: Sequence[Duration] = ("1s", "5s", "30s"),
        signals: bool = True,
    ) -> None:
        self._client = client
        self._subject = subject
        self._handler = handler
        self._consumer = consumer
        self._concurrency = concurrency
        self._order = order
        self._start = start
        self._redelivery = redelivery
        self._redelivery_count = redelivery_count
        self._plan = Plan.make(redelivery, backoff)
        self._signals = signals
        self._queue: SimpleQueue[_Taken | None] = SimpleQueue()
        self._stops: SimpleQueue[BaseException | None] = SimpleQueue()  # its put is safe in a signal handler
        self._jobs: Jobs[Delivery] = Jobs(redelivery=self._plan.redelivery)
        self._draining = Flag()
        self._drained = Flag()
        self._process = os.getpid()

    def run(self) -> None:
        """Work until `stop` is called, or SIGTERM or SIGINT comes (see *signals*).

        Then what is running is finished, what was not begun goes back, and this returns.

        Raises:
            BusError: what ends the subscription for good, such as `UnknownNamespaceError` or
                `ConsumerMismatchError`.
        """
        self._process = os.getpid()
        with stopping_on_signals(self.stop, wanted=self._signals), self._subscribe() as stream:
            stream.serve(self._jobs)
            reader = self._begin(self._read, stream)
            handlers = [self._begin(self._work) for _ in range(self._concurrency)]
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
                return self._stops.get(timeout=GLANCE)

    def _subscribe(self) -> Stream:
        return self._client.get(
            self._subject,
            start=self._start,
            ack="manual",
            consumer=self._consumer,
            order=self._order,
            prefetch=self._concurrency,
            redelivery=self._redelivery,
            redelivery_count=self._redelivery_count,
        )

    def _begin(self, target: Callable[..., None], *args: Stream) -> Thread:
        thread = Thread(target=target, args=args, name=f"bus-worker-{self._consumer}", daemon=True)
        thread.start()
        return thread

    def _drain(self, handlers: list[Thread]) -> None:
        self._draining.set()
        announce_stop(self._consumer, self._jobs.count)
        for _ in handlers:
            self._queue.put(None)
        for thread in handlers:
            thread.join()
        self._drained.set()

    def _read(self, stream: Stream) -> None:
        try:
            while (taken := _take(stream)) is not None:
                self._queue.put(taken)
            self._stops.put(None)
        except BaseException as error:
            self._stops.put(error)

    def _work(self) -> None:
        while (taken := self._queue.get()) is not None:
            try:
                self._handle(*taken)
            except BusError as error:
                report(taken[0], error)
            if self._forked:
                return

    def _handle(self, event: Delivery, problem: UndecodableEventError | None) -> None:
        if self._draining.is_set():
            if event.session.live:
                event.nack(reason="the worker is stopping")
        elif self._jobs.begin(event):
            try:
                self._run(event, problem)
            finally:
                self._jobs.end(event)
        else:
            report_stale(event)

    def _run(self, event: Delivery, problem: UndecodableEventError | None) -> None:
        """Call the handler, and say what came of it."""
        try:
            if problem is not None:
                raise problem
            result = self._handler(event)
        except BaseException as error:
            if self._forked:
                raise
            self._fail(event, error)
        else:
            if not self._forked:
                self._finish(event, result)

    @property
    def _forked(self) -> bool:
        """Whether this is a child that a handler has forked, which has nothing to say about events."""
        return os.getpid() != self._process

    def _finish(self, event: Delivery, result: Any) -> None:
        if result is None or not event.response_subject:
            event.ack()
            return
        try:
            event.reply(result)
        except InvalidEventError as error:  # what the handler returned can't be JSON
            self._fail(event, error)

    def _fail(self, event: Delivery, error: BaseException) -> None:
        if reason := rejection(event, error):
            event.reject(reason=reason)
        else:
            event.nack(delay=self._plan.delay(event.attempts), reason=describe(error))

    def _extend(self) -> None:
        while not self._drained.wait(self._plan.extension):
            for event in self._jobs.running():
                with suppress(BusError):
                    if event.session.live:
                        event.extend()

    def __repr__(self) -> str:
        return f"<Worker {self._consumer} on {self._subject}, {self._jobs.count} running>"


def _take(stream: Stream) -> _Taken | None:
    """The next event, with what is wrong with it if it can't be decoded; None at the end."""
    try:
        return next(stream), None
    except StopIteration:
        return None
    except UndecodableEventError as error:
        return cast(Delivery, error.event), error
