"""Both workers against a real server: what a handler does decides what becomes of its event."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from bus import Client, RejectError
from bus.client.core.get_options import in_seconds
from bus.client.core.worker_plan import WorkPlan
from bus.errors import BusError, ConsumerMismatchError, ServiceError, UnknownNamespaceError
from tests.client.workers import StartWorker, collecting, taken
from tests.support import PATIENCE, ServerProcess

pytestmark = pytest.mark.every_engine


def test_workers_of_one_consumer_share_the_events(server: ServerProcess, app: str, start_worker: StartWorker) -> None:
    handled, handler = collecting()
    for _ in range(2):
        start_worker(server, f"{app}.a", handler, concurrency=2)
    with Client(server.url) as client:
        client.put_many([{"subject": f"{app}.a", "payload": number} for number in range(50)])
    assert sorted(taken(handled, 50)) == [(number, 1) for number in range(50)]
    assert handled.empty()


def test_a_consumer_goes_on_where_it_was(server: ServerProcess, app: str, start_worker: StartWorker) -> None:
    handled, handler = collecting()
    with Client(server.url) as client:
        client.put(f"{app}.a", 1)
        first = start_worker(server, f"{app}.a", handler)
        assert taken(handled, 1) == [(1, 1)]
        first.stop()
        first.join()
        client.put(f"{app}.a", 2)
        start_worker(server, f"{app}.a", handler)
        assert taken(handled, 1) == [(2, 1)]


def test_a_failed_event_comes_again_after_its_back_off(
    server: ServerProcess, app: str, start_worker: StartWorker
) -> None:
    handled, collect = collecting()

    def handler(event: Any) -> None:
        collect(event)
        if event.attempts < 3:
            raise ValueError("not yet")

    start_worker(server, f"{app}.a", handler, backoff=["10ms", 0.02], redelivery_count=5)
    with Client(server.url) as client:
        client.put(f"{app}.a", "x")
    assert taken(handled, 3) == [("x", 1), ("x", 2), ("x", 3)]


def test_a_rejected_event_does_not_come_again(server: ServerProcess, app: str, start_worker: StartWorker) -> None:
    handled, collect = collecting()

    def handler(event: Any) -> None:
        collect(event)
        if event.payload == "bad":
            raise RejectError("can't be handled")

    start_worker(server, f"{app}.a", handler, concurrency=1, redelivery="50ms")
    with Client(server.url) as client:
        client.put_many([{"subject": f"{app}.a", "payload": payload} for payload in ("bad", "good")])
    assert taken(handled, 2) == [("bad", 1), ("good", 1)]


def test_what_a_handler_returns_answers_a_request(server: ServerProcess, app: str, start_worker: StartWorker) -> None:
    start_worker(server, f"{app}.add", lambda event: event.payload["a"] + event.payload["b"])
    with Client(server.url) as client:
        assert client.request(f"{app}.add", {"a": 1, "b": 2}, timeout=PATIENCE) == 3
        with pytest.raises(ServiceError, match="KeyError: 'b'"):
            client.request(f"{app}.add", {"a": 1}, timeout=PATIENCE)


def test_a_reason_to_reject_reaches_the_requester(server: ServerProcess, app: str, start_worker: StartWorker) -> None:
    def handler(event: Any) -> Any:
        if event.payload is None:
            raise RejectError("nothing to do")
        return object()

    start_worker(server, f"{app}.task", handler)
    with Client(server.url) as client:
        with pytest.raises(ServiceError, match="nothing to do"):
            client.request(f"{app}.task", timeout=PATIENCE)
        with pytest.raises(ServiceError, match="can't be written as JSON"):
            client.request(f"{app}.task", 1, timeout=PATIENCE)


def test_a_handler_may_take_longer_than_the_redelivery_time(
    server: ServerProcess, app: str, start_worker: StartWorker
) -> None:
    handled, collect = collecting()
    busy = threading.Event()

    def handler(event: Any) -> None:
        collect(event)
        if event.payload == "long":
            busy.wait(1.0)  # the work

    start_worker(server, f"{app}.a", handler, redelivery="300ms", concurrency=2)
    with Client(server.url) as client:
        client.put(f"{app}.a", "long")
        assert taken(handled, 1) == [("long", 1)]
        busy.wait(1.2)
        client.put(f"{app}.a", "next")
        assert taken(handled, 1) == [("next", 1)]


def test_what_cannot_be_subscribed_to_is_raised(server: ServerProcess, app: str, start_worker: StartWorker) -> None:
    with pytest.raises(UnknownNamespaceError):
        start_worker(server, "nope.a", print).join()


def test_a_worker_that_gives_no_terms_takes_those_of_its_consumer(
    server: ServerProcess, app: str, start_worker: StartWorker
) -> None:
    handled, collect = collecting()
    busy = threading.Event()

    def handler(event: Any) -> None:
        collect(event)
        if event.payload == "long":
            busy.wait(1.0)  # the work

    with Client(server.url) as client:
        client.consumers.edit(f"of-{app}", subject=f"{app}.a", redelivery="300ms", redelivery_count=2)
        start_worker(server, f"{app}.a", handler, concurrency=2)
        client.put(f"{app}.a", "long")
        assert taken(handled, 1) == [("long", 1)]
        busy.wait(1.2)
        client.put(f"{app}.a", "next")
        assert taken(handled, 1) == [("next", 1)]
        consumer = client.consumers.get(f"of-{app}")
        assert (consumer.redelivery, consumer.redelivery_count) == ("300ms", 2)


def test_a_worker_that_gives_no_terms_makes_a_patient_consumer(
    server: ServerProcess, app: str, start_worker: StartWorker
) -> None:
    handled, handler = collecting()
    start_worker(server, f"{app}.a", handler)
    with Client(server.url) as client:
        client.put(f"{app}.a", 1)
        assert taken(handled, 1) == [(1, 1)]
        consumer = client.consumers.get(f"of-{app}")
        assert (consumer.redelivery, consumer.redelivery_count) == ("30s", 5)


@pytest.mark.parametrize("given", [{"redelivery": "30s"}, {"redelivery_count": 5}], ids=lambda given: next(iter(given)))
def test_terms_that_a_worker_gives_must_be_those_of_its_consumer(
    server: ServerProcess, app: str, start_worker: StartWorker, given: dict[str, Any]
) -> None:
    with Client(server.url) as client:
        client.consumers.edit(f"of-{app}", subject=f"{app}.a", redelivery="1s", redelivery_count=2)
    with pytest.raises(ConsumerMismatchError, match=next(iter(given))):
        start_worker(server, f"{app}.a", print, **given).join()


def test_a_worker_that_gives_no_terms_must_still_ask_for_the_same_events(
    server: ServerProcess, app: str, start_worker: StartWorker
) -> None:
    with Client(server.url) as client:
        client.consumers.edit(f"of-{app}", subject=f"{app}.a", redelivery="1s")
    with pytest.raises(ConsumerMismatchError, match="subject"):
        start_worker(server, f"{app}.b", print).join()


def plan(*, redelivery: float | None = None, backoff: tuple[float, ...] = ()) -> WorkPlan:
    return WorkPlan(
        subjects=("app.*",),
        consumer="w",
        concurrency=8,
        order=None,
        start="oldest",
        redelivery=redelivery,
        redelivery_count=5,
        backoff=backoff,
        signals=False,
    )


def test_a_plan_repeats_its_last_delay() -> None:
    patient = plan(redelivery=30, backoff=(1, 5))
    assert [patient.delay(attempts) for attempts in (0, 1, 2, 3, 9)] == [1, 1, 5, 5, 5]
    assert plan(redelivery=1).delay(3) == 0


def test_a_plan_is_what_is_subscribed_with() -> None:
    parameters = dict(plan(redelivery=in_seconds("1m30s"), backoff=()).subscription.parameters())
    assert parameters == {
        "subject": "app.*",
        "start": "oldest",
        "ack": "manual",
        "redelivery": "1m30s",
        "redelivery_count": "5",
        "prefetch": "8",
        "consumer": "w",
    }


def test_what_a_plan_leaves_open_is_wished_for_and_given_up_with_the_wish() -> None:
    wished = plan().subscription
    assert (wished.redelivery, wished.redelivery_count) == (30.0, 5)
    assert wished.wishes == frozenset({"redelivery"})
    assert wished.without_wishes().redelivery is None
    assert wished.without_wishes().redelivery_count == 5


def test_a_rejection_is_an_error_of_bus() -> None:
    assert issubclass(RejectError, BusError)
