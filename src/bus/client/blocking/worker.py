"""A worker: what its callers see."""
# Generated from bus/client/aio/worker.py by `make generate`: change that one.

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from bus.client.blocking.handling import Handler
from bus.client.blocking.work_loop import Subscribing, WorkLoop
from bus.client.core.get_options import Duration, Start, in_seconds, subjects_in
from bus.client.core.worker_plan import WorkPlan


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
        redelivery: seconds, or text such as ``"1m"``, after which others get the events of a worker that died; None
            for what the consumer has, and 30 seconds if it is new.
        redelivery_count: attempts in all before an event goes to the dead letters, 0 for no limit; None for what the
            consumer has, and 5 if it is new.
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
        redelivery: Duration | None = None,
        redelivery_count: int | None = None,
        backoff: Sequence[Duration] = ("1s", "5s", "30s"),
        signals: bool = True,
    ) -> None:
        plan = WorkPlan(
            subjects=subjects_in(subject),
            consumer=consumer,
            concurrency=concurrency,
            order=order,
            start=start,
            redelivery=None if redelivery is None else in_seconds(redelivery),
            redelivery_count=redelivery_count,
            backoff=tuple(map(in_seconds, backoff)),
            signals=signals,
        )
        self._loop = WorkLoop(client, handler, plan)

    def run(self) -> None:
        """Work until `stop` is called, or SIGTERM or SIGINT comes (see *signals*).

        Then what is running is finished, what was not begun goes back, and this returns.

        Raises:
            BusError: what ends the subscription for good, such as `UnknownNamespaceError` or
                `ConsumerMismatchError`.
        """
        self._loop.run()

    def stop(self) -> None:
        """Have `run` finish what is running and return. May be called from any thread and in a signal handler."""
        self._loop.stop()

    def __repr__(self) -> str:
        return f"<Worker {self._loop!r}>"
