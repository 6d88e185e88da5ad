"""A worker loop on threads.

stream ──reader thread──▶ queue ──▶ concurrent handlers ─ ──▶ ack, nack, reject
                                          ▲
          extending thread ── more time ──┘      main thread: waits to be told to stop
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from threading import Event as Flag
from threading import Thread
from typing import Any, Literal, Protocol

from bus.client.blocking.stream import Delivery, Stream
from bus.client.core.query import Duration, Start
from bus.client.core.work import Plan, announce_stop, describe, rejection, report, stopping_on_signals
from bus.errors import BusError, InvalidEventError

Handler = Callable[[Delivery], Any]
"""What is called with each event; a result other than None answers a request."""


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
        self._queue: SimpleQueue[Delivery | None] = SimpleQueue()
        self._stops: SimpleQueue[BaseException | None] = SimpleQueue()  # its put is safe in a signal handler
        self._running: dict[int, Delivery] = {}
        self._draining = Flag()

    def run(self) -> None:
        """Work until `stop` is called, or SIGTERM or SIGINT comes if this is the main thread.

        Then what is running is finished, what was not begun goes back, and this returns.

        Raises:
            BusError: what ends the subscription for good, such as `UnknownNamespaceError` or
                `ConsumerMismatchError`.
        """
        with stopping_on_signals(self.stop), self._subscribe() as stream:
            reader = self._begin(self._read, stream)
            others = [self._begin(self._work) for _ in range(self._concurrency)] + [self._begin(self._extend)]
            failure = self._stops.get()
            self._drain(others)
        reader.join()
        if failure is not None:
            raise failure

    def stop(self) -> None:
        """Have `run` finish what is running and return. May be called from any thread and in a signal handler."""
        self._stops.put(None)

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

    def _drain(self, threads: list[Thread]) -> None:
        self._draining.set()
        announce_stop(self._consumer, len(self._running))
        for _ in range(self._concurrency):
            self._queue.put(None)
        for thread in threads:
            thread.join()

    def _read(self, stream: Stream) -> None:
        try:
            for event in stream:
                self._queue.put(event)
            self._stops.put(None)
        except Exception as error:
            self._stops.put(error)

    def _work(self) -> None:
        while (event := self._queue.get()) is not None:
            try:
                self._handle(event)
            except BusError as error:
                report(event, error)

    def _handle(self, event: Delivery) -> None:
        if self._draining.is_set():
            event.nack(reason="the worker is stopping")
            return
        self._running[id(event)] = event
        try:
            result = self._handler(event)
        except Exception as error:
            self._fail(event, error)
        else:
            self._finish(event, result)
        finally:
            del self._running[id(event)]

    def _finish(self, event: Delivery, result: Any) -> None:
        if result is None or not event.response_subject:
            event.ack()
            return
        try:
            event.reply(result)
        except InvalidEventError as error:  # what the handler returned can't be JSON
            self._fail(event, error)

    def _fail(self, event: Delivery, error: Exception) -> None:
        if reason := rejection(event, error):
            event.reject(reason=reason)
        else:
            event.nack(delay=self._plan.delay(event.attempts), reason=describe(error))

    def _extend(self) -> None:
        while not self._draining.wait(self._plan.extension):
            for event in list(self._running.values()):
                with suppress(BusError):
                    event.extend()

    def __repr__(self) -> str:
        return f"<Worker {self._consumer} on {self._subject}, {len(self._running)} running>"
