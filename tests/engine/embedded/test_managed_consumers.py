"""Durable consumers while they are managed, beside a model of what is promised.

Connections come, take, settle and go, leases run out, the server stops and crashes; meanwhile the consumer is paused,
moved and changed. Nothing is handed out while it is paused, nothing that is skipped or settled comes again, and what is
due is delivered in the end.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bus.engine.administration import ConsumerChange, Destination, Step
from bus.engine.base import Acknowledge, Action, Subscribe
from bus.engine.consumer.subscription import ConsumerSubscription
from bus.engine.embedded.consumers.consumer_admin import DurableAdmin
from bus.engine.embedded.consumers.consumer_store import ConsumerStore
from bus.engine.embedded.consumers.durable_consumers import DurableConsumers
from bus.engine.embedded.consumers.idle_consumers import IdleConsumers
from bus.engine.embedded.log_namespace import LogNamespace
from bus.engine.reading.round_robin import RoundRobin
from bus.engine.start import StartKind, StartPoint
from bus.errors import StorageError, UnknownConsumerError
from bus.subject import Filter
from tests.engine.support import ManualLoop, RecordingSink, batch, event_id, fill, open_namespace, store

NAME = "billing"
FILTERS = {pattern: Filter.parse([pattern]) for pattern in ("app.a", "app.b", "app.>")}
OLDEST, NEWEST = StartPoint(StartKind.OLDEST), StartPoint(StartKind.NEWEST)


class Kept:
    """Durable consumers of one namespace, with what they are kept in."""

    def __init__(self, loop: ManualLoop, namespace: LogNamespace, file: Path, *, ttl: float | None = None) -> None:
        self.loop = loop
        self._store = ConsumerStore(file, key=None)
        self.consumers = DurableConsumers(
            self._store, {namespace.name: namespace}, loop=loop, left=lambda connection: None,
            refused=lambda namespace, gone: None, most=9,
        )  # fmt: skip
        self.consumers.load()
        self.admin = DurableAdmin(
            self.consumers, {namespace.name: namespace}, loop=loop, turns=RoundRobin(loop)
        )  # fmt: skip
        self.idle = IdleConsumers(self.consumers, ttl=ttl, loop=loop)

    def change(self, **change: Any) -> bool:
        """Whether it was made."""
        return self.loop.run_until_complete(self.admin.change(NAME, ConsumerChange(**change))).made

    def join(
        self, namespace: LogNamespace, wanted: Filter, **options: Any
    ) -> tuple[ConsumerSubscription, RecordingSink]:
        sink = RecordingSink()
        found = self.consumers.join(namespace, Subscribe(filter=wanted, consumer=NAME, **options), sink)
        found.start()
        self.loop.turn(3)
        return found, sink

    def flush(self) -> None:
        """Let a checkpoint be written."""
        self.loop.advance(0.3)
        while self.consumers._checkpoints._writing:
            self.loop.turn()

    def stop(self) -> None:
        self.consumers.stop()
        self.consumers.close()

    def crash(self) -> None:
        """Be gone, with what is yet to be written."""
        for durable in self.consumers:
            durable.consumer.close()
        self.consumers._checkpoints.finish()
        self._store.close()


class Managed(RuleBasedStateMachine):
    """``due`` has what is to be delivered and acknowledged yet, ``acked`` what mustn't come again unless after a crash;
    before ``floor`` all is skipped."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory()
        self.loop = ManualLoop()
        self.namespace = open_namespace(self.loop)
        self.subjects: dict[int, str] = {}
        self.pattern = "app.a"
        self.paused = False
        self.due: set[int] = set()
        self.acked: set[int] = set()
        self.floor = 1
        self.members: list[tuple[ConsumerSubscription, RecordingSink]] = []
        self.kept = self.open()

    def open(self) -> Kept:
        return Kept(self.loop, self.namespace, Path(self.directory.name) / "consumers.db")

    @initialize()
    def make(self) -> None:
        assert self.kept.change(filter=FILTERS[self.pattern], start=OLDEST, redelivery=(5.0,), redelivery_count=0)

    def matching(self, start: int) -> set[int]:
        return {
            i for i, subject in self.subjects.items() if i >= start and FILTERS[self.pattern].matches(subject.encode())
        }

    # -- what happens

    @rule(
        subjects=st.lists(st.sampled_from(["app.a", "app.b"]), min_size=1, max_size=5), key=st.sampled_from(["", "k"])
    )
    def publish(self, subjects: list[str], key: str) -> None:
        first = self.namespace.next
        self.subjects |= dict(enumerate(subjects, first))
        self.due |= self.matching(first)
        self.observe(lambda: store(self.namespace, batch(first, subjects, key=key)))

    @precondition(lambda self: len(self.members) < 2)
    @rule(prefetch=st.integers(1, 3))
    def connect(self, prefetch: int) -> None:
        found, sink = self.kept.join(self.namespace, FILTERS[self.pattern], prefetch=prefetch)
        self.see(sink, [])
        self.members.append((found, sink))

    @precondition(lambda self: self.members)
    @rule(data=st.data())
    def disconnect(self, data: st.DataObject) -> None:
        member = data.draw(st.sampled_from(self.members))
        self.members.remove(member)
        self.observe(member[0].close)

    @precondition(lambda self: any(found.in_flight for found, _ in self.members))
    @rule(data=st.data(), action=st.sampled_from([Action.ACK, Action.ACK, Action.NACK, Action.EXTEND]))
    def settle(self, data: st.DataObject, action: Action) -> None:
        flying = [(found, index) for found, _ in self.members for index in found.window.flying]
        member, index = data.draw(st.sampled_from(flying))
        if action is Action.ACK:
            self.due.discard(index)
            self.acked.add(index)
        ack = Acknowledge(consumer_id=member.consumer_id, event_ids=(event_id(index),), action=action)
        self.observe(lambda: member.consumer.settle(member, ack))

    @rule(seconds=st.sampled_from([0.3, 5.1, 30.0]))
    def wait(self, seconds: float) -> None:
        self.observe(lambda: self.loop.advance(seconds))

    # -- what is done to it

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        self.paused = self.paused and paused
        self.observe(lambda: self.kept.change(paused=paused))
        self.paused = paused

    @rule(
        to=st.one_of(
            st.just(OLDEST), st.just(NEWEST), st.integers(-9, 9).map(Step),
            st.integers(1, 99).map(lambda index: StartPoint(StartKind.INDEX, index=index)),
        ),
        dry_run=st.booleans(),
    )  # fmt: skip
    def move(self, to: Destination, dry_run: bool) -> None:
        if isinstance(to, StartPoint) and to.index > self.namespace.next:
            return
        before, unread = self.kept.consumers.get(NAME).consumer, self.namespace.next
        cursor, pending = before.cursor, {found.index for found in before.pending}
        self.acked = self.acked if dry_run else set()
        self.floor = self.floor if dry_run else 1
        move = self.loop.run_until_complete(self.kept.admin.move(NAME, to, dry_run=dry_run))
        place = move.to_index
        assert place == self.expected(to, cursor) and place <= unread
        assert move.repeats == len(self.matching(place) - self.matching(cursor))
        assert move.skips == len(self.matching(cursor) - self.matching(place)) + len({i for i in pending if i < place})
        assert (move.from_index, move.forgotten, move.moved) == (cursor, len(pending), not dry_run)
        if not dry_run:
            self.floor, self.due = place, self.matching(place)
        self.observe(lambda: None)

    def expected(self, to: Destination, cursor: int) -> int:
        if isinstance(to, StartPoint):
            return {StartKind.OLDEST: 1, StartKind.NEWEST: self.namespace.next}.get(to.kind, to.index)
        if to.events >= 0:
            on = sorted(self.matching(cursor))
            return cursor if not to.events else (on[to.events - 1] + 1 if to.events <= len(on) else self.namespace.next)
        back = sorted(self.matching(1) - self.matching(cursor))
        return back[to.events] if -to.events <= len(back) else 1

    @rule(pattern=st.sampled_from(sorted(FILTERS)), by_key=st.booleans())
    def change(self, pattern: str, by_key: bool) -> None:
        consumer = self.kept.consumers.get(NAME)
        ends = pattern != self.pattern or by_key != consumer.terms.by_key
        pending = {found.index for found in consumer.consumer.pending}
        self.kept.change(filter=FILTERS[pattern], by_key=by_key)
        self.pattern = pattern
        self.due = (self.matching(1) & pending) | self.matching(consumer.consumer.cursor)
        if ends:
            assert all(sink.interrupted for _, sink in self.members)
            self.members.clear()
        self.observe(lambda: None)

    # -- the server

    @rule(orderly=st.booleans())
    def restart(self, orderly: bool) -> None:
        self.members.clear()
        self.kept.stop() if orderly else self.kept.crash()
        if not orderly:
            self.acked.clear()
        self.kept = self.open()

    # -- what is promised

    def observe(self, happens: Any) -> None:
        """Look at what is handed out by it."""
        before = [list(sink.indexes) for _, sink in self.members]
        seen = list(self.members)
        happens()
        self.loop.turn(4)
        for (_, sink), had in zip(seen, before, strict=True):
            self.see(sink, had)

    def see(self, sink: RecordingSink, had: list[int]) -> None:
        new = sink.indexes[len(had) :]
        assert not (new and self.paused), "nothing is handed out while it is paused"
        assert set(new) <= self.matching(self.floor), "only what it reads, and nothing that was skipped"
        assert not set(new) & self.acked, "what is settled doesn't come again"

    @invariant()
    def nothing_is_with_two(self) -> None:
        flying = [index for found, _ in self.members for index in found.window.flying]
        assert len(flying) == len(set(flying))

    def teardown(self) -> None:
        if NAME in self.kept.consumers:
            self.finish()
        self.kept.stop()
        self.loop.close()
        self.directory.cleanup()

    def finish(self) -> None:
        """All that is due is delivered in the end."""
        for found, _ in self.members:
            found.close()
        self.members.clear()
        self.pause(False)
        self.connect(3)
        member, _ = self.members[0]
        for _ in range(500):
            if not self.due:
                return
            for index in list(member.window.flying):
                self.due.discard(index)
                ack = Acknowledge(consumer_id=member.consumer_id, event_ids=(event_id(index),))
                member.consumer.settle(member, ack)
            self.loop.turn(4)
            if not member.in_flight:
                self.loop.advance(10)
        raise AssertionError(f"never delivered: {self.due}")


TestManaged = Managed.TestCase
TestManaged.settings = settings(max_examples=25, stateful_step_count=25)


@pytest.fixture
def namespace(loop: ManualLoop) -> LogNamespace:
    return open_namespace(loop)


def test_a_move_that_cannot_be_written_changes_nothing(
    loop: ManualLoop, namespace: LogNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(namespace, 5)
    kept = Kept(loop, namespace, tmp_path / "consumers.db")
    kept.change(filter=FILTERS["app.a"], start=OLDEST)
    found, sink = kept.join(namespace, FILTERS["app.a"])

    def full(*args: object, **options: object) -> None:
        raise StorageError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(ConsumerStore, "save", full)
        with pytest.raises(StorageError):
            loop.run_until_complete(kept.admin.move(NAME, NEWEST))
        with pytest.raises(StorageError):
            kept.change(paused=True)
        with pytest.raises(StorageError):
            kept.change(filter=FILTERS["app.b"])
    durable = kept.consumers.get(NAME)
    assert (durable.consumer.cursor, durable.terms.paused, durable.consumer.paused) == (2, False, False)
    assert (found.in_flight, sink.interrupted, durable.consumer.held) == (1, [], False)
    kept.stop()


def test_one_that_is_deleted_while_it_is_found_out_what_a_move_means_is_not_moved(
    loop: ManualLoop, namespace: LogNamespace, tmp_path: Path
) -> None:
    fill(namespace, 500)
    kept = Kept(loop, namespace, tmp_path / "consumers.db")
    kept.change(filter=FILTERS["app.a"], start=OLDEST)
    moving = loop.create_task(kept.admin.move(NAME, NEWEST))
    changing = loop.create_task(kept.admin.change(NAME, ConsumerChange(paused=True)))
    loop.turn(2)
    assert not moving.done() and not changing.done(), "they wait for each other"
    loop.run_until_complete(kept.admin.delete(NAME))
    for task in (moving, changing):
        with pytest.raises(UnknownConsumerError):
            loop.run_until_complete(task)
    assert NAME not in kept.consumers
    kept.stop()


def test_what_is_published_and_settled_while_it_is_counted_makes_the_answer_no_less_true(
    loop: ManualLoop, namespace: LogNamespace, tmp_path: Path
) -> None:
    fill(namespace, 500)
    kept = Kept(loop, namespace, tmp_path / "consumers.db")
    kept.change(filter=FILTERS["app.a"], start=OLDEST)
    found, sink = kept.join(namespace, FILTERS["app.a"], prefetch=3)
    moving = loop.create_task(kept.admin.move(NAME, NEWEST))
    loop.turn(2)
    fill(namespace, 1)
    found.consumer.settle(found, Acknowledge(consumer_id=found.consumer_id, event_ids=(event_id(2),)))
    move = loop.run_until_complete(moving)
    assert (move.to_index, move.skips, move.forgotten) == (501, 2 + 497, 2)
    loop.turn(3)
    assert sink.indexes == [1, 2, 3, 501]
    kept.stop()


def test_one_without_a_connection_is_forgotten_and_no_sooner(
    loop: ManualLoop, namespace: LogNamespace, tmp_path: Path
) -> None:
    kept = Kept(loop, namespace, tmp_path / "consumers.db", ttl=100)
    kept.change(filter=FILTERS["app.a"])

    def after(seconds: float) -> bool:
        """Whether it is there so many seconds later."""
        loop.advance(seconds)
        kept.idle.expire()
        return NAME in kept.consumers

    assert after(99)
    found, _ = kept.join(namespace, FILTERS["app.a"])
    assert after(1000), "somebody is connected"
    found.close()
    assert after(99)
    kept.change(expires=10.0)
    assert after(9), "a change begins its time anew"
    kept.stop()
    loop.advance(1000)
    kept = Kept(loop, namespace, tmp_path / "consumers.db", ttl=100)
    assert after(0.5), "nobody could connect while the server was down"
    kept.crash()
    kept = Kept(loop, namespace, tmp_path / "consumers.db", ttl=100)
    kept.change(expires=0.0)
    assert after(10_000), "it never expires"
    kept.change(expires=None)
    assert after(99)
    assert not after(2)
    kept.stop()
    kept = Kept(loop, namespace, tmp_path / "consumers.db")
    assert not list(kept.consumers)
    kept.stop()


def test_how_long_it_was_idle_is_kept_over_restarts(loop: ManualLoop, namespace: LogNamespace, tmp_path: Path) -> None:
    kept = Kept(loop, namespace, tmp_path / "consumers.db", ttl=100)
    kept.change(filter=FILTERS["app.a"])
    for seconds, orderly in ((50, True), (35, False)):
        loop.advance(seconds)
        kept.idle.expire()
        kept.flush()
        kept.stop() if orderly else kept.crash()
        kept = Kept(loop, namespace, tmp_path / "consumers.db", ttl=100)
    loop.advance(10)
    kept.idle.expire()
    assert NAME in kept.consumers
    loop.advance(10)
    kept.idle.expire()
    assert NAME not in kept.consumers
    kept.stop()


@pytest.mark.parametrize("restarted", [True, False])
def test_who_connects_shows_that_it_is_needed_also_over_a_crash(
    loop: ManualLoop, namespace: LogNamespace, tmp_path: Path, restarted: bool
) -> None:
    kept = Kept(loop, namespace, tmp_path / "consumers.db", ttl=100)
    kept.change(filter=FILTERS["app.a"])
    loop.advance(90)
    kept.idle.expire()
    kept.flush()
    if restarted:
        kept.stop()
        kept = Kept(loop, namespace, tmp_path / "consumers.db", ttl=100)
    kept.join(namespace, FILTERS["app.a"])
    kept.flush()
    kept.crash()
    kept = Kept(loop, namespace, tmp_path / "consumers.db", ttl=100)
    loop.advance(90)
    kept.idle.expire()
    assert NAME in kept.consumers
    kept.stop()


def test_an_idle_one_that_cannot_be_forgotten_stays(
    loop: ManualLoop, namespace: LogNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    kept = Kept(loop, namespace, tmp_path / "consumers.db", ttl=100)
    kept.change(filter=FILTERS["app.a"])
    loop.advance(101)

    def broken(*args: object, **options: object) -> None:
        raise StorageError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(ConsumerStore, "save", broken)
        kept.idle.expire()
    assert "can't be forgotten: the disk is full" in caplog.text
    assert NAME in kept.consumers
    kept.idle.expire()
    assert NAME not in kept.consumers
    kept.stop()
