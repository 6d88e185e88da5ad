"""`Pending` beside a model of what it promises.

Nothing is lost, nothing is delivered twice at once, keys keep their order, and no event is charged with what it
didn't do.
"""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bus.engine.consumer.delivery import TIMED, Delivery, DeliveryState, GivenUp, Loss, Window
from bus.engine.consumer.kept_delivery import KeptDelivery
from bus.engine.consumer.pending import LEAST_REDELIVERY, RETURN_SECONDS, Pending
from bus.errors import NotOwnerError, UnknownEventError

REDELIVERY = (5.0, 10.0)
LIMIT = 3
PREFETCH = 3
WORKERS = st.sampled_from(["", "", "w1", "w2"])
EVERYTHING = 1 << 30


class PendingMachine(RuleBasedStateMachine):
    """Workers connect, take, settle, die, return, freeze and dawdle, and the server restarts.

    ``faults`` has how often an attempt of an event ended in a way that the event may be charged with.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pending = Pending(redelivery=REDELIVERY, limit=LIMIT)
        self.now = 0.0
        self.connected = 0
        self.windows: list[Window] = []
        self.said_at: dict[str, int] = {}
        self.admitted: dict[int, str] = {}
        self.keys: dict[int, str] = {}
        self.acked: set[int] = set()
        self.given_up: set[int] = set()
        self.faults: dict[int, int] = {}

    def here(self) -> list[int]:
        return sorted(set(self.admitted) - self.acked - self.given_up)

    def found(self, index: int) -> Delivery:
        return next(found for found in self.pending if found.index == index)

    def blame(self, index: int) -> None:
        self.faults[index] = self.faults.get(index, 0) + 1

    def bury(self, gone: GivenUp, *, rejected: bool = False) -> None:
        self.given_up.add(gone.delivery.index)
        assert rejected or self.faults.get(gone.delivery.index, 0) >= LIMIT, "it isn't given up for what others did"

    # -- what happens

    @rule(worker=WORKERS)
    def connect(self, worker: str) -> None:
        if len(self.windows) < 4:
            self.connected += 1
            self.windows.append(self.pending.windows.open(f"c{self.connected}", worker))

    @rule(key=st.sampled_from(["", "", "a", "b"]), name=st.sampled_from(["", "", "twin"]))
    def admit(self, key: str, name: str) -> None:
        index = len(self.admitted) + 1
        self.admitted[index] = name or f"e{index}"
        self.keys[index] = key
        self.pending.admit(index, self.admitted[index], key=key)

    @precondition(lambda self: self.windows)
    @rule(data=st.data(), key=st.sampled_from(["", "", "a", "b"]), name=st.sampled_from(["", "", "twin"]))
    def hand(self, data: st.DataObject, key: str, name: str) -> None:
        window = data.draw(st.sampled_from(self.windows))
        if len(window.flying) >= PREFETCH or not self.pending.takes_new(window):
            return
        busy = bool(key) and any(found.key == key for found in self.pending)
        index = len(self.admitted) + 1
        self.admitted[index] = name or f"e{index}"
        self.keys[index] = key
        handed = self.pending.hand(index, self.admitted[index], window, key=key, now=self.now)
        found = self.found(index)
        assert (handed is None) is busy
        assert found.state is (DeliveryState.HELD if busy else DeliveryState.IN_FLIGHT)
        assert busy or (found.owner is window and found.attempts == 1)

    @precondition(lambda self: self.windows)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        window = data.draw(st.sampled_from(self.windows))
        if len(window.flying) >= PREFETCH:
            return
        ready = sorted(found.index for found in self.pending if found.state is DeliveryState.READY)
        before = {found.index: (found.attempts, found.worker, found.loss) for found in self.pending}
        beside = len(window.flying)
        gone = self.pending.deliver(window, now=self.now)
        if gone is None:
            assert not ready or window.silent or beside, "a window that is empty gets what is ready"
            return
        if isinstance(gone, GivenUp):
            assert gone.reason == "connection lost"
            assert not gone.delivery.returns_to(window)
            self.bury(gone)
            return
        attempts, worker, loss = before[gone.index]
        if window.silent:
            assert not any(not other.silent for other in self.windows), "the others go first"
            assert not beside, "a silent one gets one at a time"
        elif gone.index in ready:
            assert gone.index == ready[0], "the oldest ready event goes first"
        else:
            assert worker == window.worker != "", "what is awaited is for its worker alone"
        if loss and worker and worker == window.worker:
            assert gone.attempts == attempts, "what comes back to its worker is the same attempt"
        if loss is Loss.CROWD and (not worker or worker != window.worker):
            assert (gone.attempts, gone.alone) == (attempts, True)

    @precondition(lambda self: self.here() and self.windows)
    @rule(data=st.data(), what=st.sampled_from(["ack", "nack", "delay", "reject", "extend"]))
    def settle(self, data: st.DataObject, what: str) -> None:
        window = data.draw(st.sampled_from(self.windows))
        event_id = self.admitted[data.draw(st.sampled_from(self.here()))]
        self.pending.windows.hear(window, now=self.now)
        assert not window.silent
        same = [found for found in self.pending if found.event_id == event_id]
        mine = [found for found in same if found.state is DeliveryState.IN_FLIGHT and found.owner is window]
        free = [found for found in same if found.state is not DeliveryState.IN_FLIGHT]
        kin = [found for found in same if found.returns_to(window)]
        candidates = mine or free or kin
        if not candidates:
            with pytest.raises(NotOwnerError):
                self.pending.ack(event_id, window)
            return
        expected = min(found.index for found in candidates)
        if not (mine or free):
            return
        found = self.found(expected)
        match what:
            case "ack":
                assert self.pending.ack(event_id, window).index == expected
                self.acked.add(expected)
            case "reject":
                gone = self.pending.reject(event_id, window, reason="bad")
                assert gone.delivery.index == expected
                self.bury(gone, rejected=True)
            case "extend":
                self.pending.extend(event_id, window, now=self.now, delay=60)
            case _:
                ends, last = found.state not in (DeliveryState.HELD, DeliveryState.DELAYED), found.attempts >= LIMIT
                if ends:
                    self.blame(expected)
                left = self.pending.nack(event_id, window, now=self.now, delay=7.0 if what == "delay" else 0.0)
                assert (left is not None) == (ends and last), "given up when the attempts are used up"
                if left:
                    self.bury(left)

    @rule(step=st.sampled_from([0.5, 4.0, 11.0, 100.0]))
    def time_passes(self, step: float) -> None:
        self.now += step
        while (due := self.pending.next_due) is not None and due <= self.now:
            self.one_is_over()
        for found in self.pending:
            if found.state in TIMED:
                assert found.due > self.now, "nothing that is over stays as it was"

    def one_is_over(self) -> None:
        """An attempt is the fault of its event if its connection is well, or had nothing else in flight."""
        flying = [found for found in self.pending if found.state is DeliveryState.IN_FLIGHT]
        well = {found.index for found in flying if found.owner.spoke >= found.listen}
        crowded = {found.index for found in flying if found.owner.crowded or len(found.owner.flying) > 1}
        given_up = self.pending.expire(now=self.now, most=1)
        gone_by = [gone.delivery for gone in given_up]
        for found in flying:
            over = found.state is not DeliveryState.IN_FLIGHT or found in gone_by
            if over and (found.index in well or found.index not in crowded or found.alone):
                self.blame(found.index)
        for gone in given_up:
            self.bury(gone)

    @precondition(lambda self: self.windows)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        window = self.windows.pop(data.draw(st.integers(0, len(self.windows) - 1)))
        flying = list(window.flying.values())
        if len(flying) == 1 and not window.crowded:
            self.blame(flying[0].index)
        self.pending.release(window, now=self.now)
        assert not window.flying
        for found in flying:
            assert found.state in (DeliveryState.READY, DeliveryState.AWAITED), "a loss alone gives nothing up"

    @rule(orderly=st.booleans())
    def restart(self, orderly: bool) -> None:
        attempts = {found.index: found.attempts for found in self.pending}
        flying = {found.index for found in self.pending if found.state is DeliveryState.IN_FLIGHT and not found.loss}
        for window in self.windows if orderly else ():
            self.pending.recall(window)
        for window in self.windows if not orderly else ():
            if len(window.flying) == 1 and not window.crowded:
                self.blame(next(iter(window.flying)))
        kept = [
            (KeptDelivery.of(found, due=0), found.due if found.state is DeliveryState.DELAYED else 0.0)
            for found in self.pending
        ]
        self.windows.clear()
        self.pending = Pending(redelivery=REDELIVERY, limit=LIMIT)
        for row, due in sorted(kept, key=lambda pair: pair[0].index):
            if orderly:
                assert row.attempts == attempts[row.index] - (row.index in flying), "nobody is charged with a restart"
            key = self.keys[row.index]
            self.pending.restore(
                row, self.admitted[row.index], key=key, now=self.now, delay=due - self.now if due else 0
            )

    # -- what holds

    @invariant()
    def nothing_is_lost(self) -> None:
        assert sorted(found.index for found in self.pending) == self.here()
        assert {self.admitted[index] for index in self.here()} == {
            event_id for event_id in self.admitted.values() if event_id in self.pending
        }

    @invariant()
    def windows_have_what_is_in_flight(self) -> None:
        for window in self.windows:
            flying = {found.index: found for found in self.pending if found.owner is window}
            assert window.flying == {i: found for i, found in flying.items() if found.state is DeliveryState.IN_FLIGHT}
        assert self.pending.windows.heard == sum(not window.silent for window in self.windows)

    @invariant()
    def who_is_alone_has_nothing_beside_it(self) -> None:
        for window in self.windows:
            alone = any(found.alone for found in window.flying.values())
            assert window.alone == alone
            assert not alone or len(window.flying) == 1

    @invariant()
    def nobody_is_charged_with_what_others_did(self) -> None:
        for found in self.pending:
            assert found.attempts <= self.faults.get(found.index, 0) + 1
            assert found.attempts <= LIMIT

    @invariant()
    def one_at_a_time_per_key(self) -> None:
        for key in ("a", "b"):
            mine = [found for found in self.pending if found.key == key]
            free = [found for found in mine if found.state is not DeliveryState.HELD]
            assert len(free) == min(len(mine), 1)
            if free:
                assert free[0].index == min(found.index for found in mine), "events of a key keep their order"

    @invariant()
    def a_timer_is_set_for_what_ends_by_itself(self) -> None:
        due = [found.due for found in self.pending if found.state in TIMED]
        if due:
            assert self.pending.next_due is not None
            assert self.pending.next_due <= min(due)


PendingMachine.TestCase.settings = settings(max_examples=250, stateful_step_count=50)
TestPending = PendingMachine.TestCase


def filled(count: int, *, limit: int = LIMIT, redelivery: tuple[float, ...] = (5.0,), shared: bool = True) -> Pending:
    """Events 1 to *count*, ready."""
    pending = Pending(redelivery=redelivery, limit=limit, shared=shared)
    for index in range(1, count + 1):
        pending.admit(index, f"e{index}")
    return pending


def take(pending: Pending, window: Window, *, now: float = 0) -> list[tuple[int, int]]:
    """Index and attempt of all that *window* gets."""
    taken = []
    while (found := pending.deliver(window, now=now)) is not None:
        taken += [(found.index, found.attempts)] if isinstance(found, Delivery) else []
    return taken


def expire(pending: Pending, *, now: float) -> list[tuple[int, str]]:
    """Index and reason of what is given up."""
    return [(gone.delivery.index, gone.reason) for gone in pending.expire(now=now, most=EVERYTHING)]


def test_late_ack_counts_until_the_event_is_given_up() -> None:
    pending = filled(1, limit=2)
    window = pending.windows.open("c", "")
    take(pending, window)
    assert expire(pending, now=6) == []
    assert pending.ack("e1", window).attempts == 1
    pending.windows.hear(window, now=4)

    pending.admit(2, "e2")
    take(pending, window, now=10)
    expire(pending, now=16)
    take(pending, window, now=16)
    assert expire(pending, now=22) == [(2, "not acknowledged within 5s")]
    with pytest.raises(UnknownEventError, match="isn't awaiting"):
        pending.ack("e2", window)


def test_redelivery_follows_the_list_and_its_last_element_repeats() -> None:
    pending = filled(1, limit=0, redelivery=(1.0, 5.0))
    window = pending.windows.open("c", "")
    waits = []
    now = 0.0
    for _ in range(4):
        delivery = pending.deliver(window, now=now)
        assert isinstance(delivery, Delivery)
        waits.append(delivery.due - now)
        now = delivery.due
        expire(pending, now=now)
    assert waits == [1.0, 5.0, 5.0, 5.0]


def test_no_attempt_is_shorter_than_the_least() -> None:
    pending = filled(1, redelivery=(1e-9,))
    take(pending, pending.windows.open("c", ""))
    assert pending.next_due == LEAST_REDELIVERY


def test_a_delayed_event_leaves_the_window() -> None:
    pending = filled(1, limit=0)
    window = pending.windows.open("c", "")
    take(pending, window)
    pending.nack("e1", window, now=0, delay=60)
    pending.windows.hear(window, now=4)
    assert not window.flying
    pending.admit(2, "e2")
    assert take(pending, window) == [(2, 1)]
    pending.windows.hear(window, now=4)
    expire(pending, now=60)
    assert take(pending, window, now=60)[0] == (1, 2)


def test_timers_of_what_is_settled_are_forgotten() -> None:
    pending = Pending(redelivery=(3600.0,), limit=0)
    window = pending.windows.open("c", "")
    for index in range(1, 10_001):
        pending.admit(index, f"e{index}")
        pending.deliver(window, now=0)
        pending.ack(f"e{index}", window)
    assert pending.deadlines < 2000


def test_the_poison_is_found_and_its_neighbours_lose_nothing() -> None:
    """Each worker takes four and dies of event 2."""
    pending = filled(8)
    given_up, done, crashes = [], [], 0
    while len(pending):
        crashes += 1
        window = pending.windows.open(f"c{crashes}", f"w{crashes}")
        while True:
            while len(window.flying) < 4 and (found := pending.deliver(window, now=crashes)) is not None:
                given_up += [found] if isinstance(found, GivenUp) else []
            if not window.flying or 2 in window.flying:
                break
            done.append(pending.ack(f"e{min(window.flying)}", window))
        pending.release(window, now=crashes)
        expire(pending, now=crashes + RETURN_SECONDS)
    assert [(gone.delivery.index, gone.delivery.attempts, gone.reason) for gone in given_up] == [
        (2, 3, "connection lost")
    ]
    assert sorted(found.index for found in done) == [1, 3, 4, 5, 6, 7, 8]
    assert {found.attempts for found in done} == {1}
    assert crashes == 5, "one with neighbours, three alone, and the one that found it at its end"


def test_a_worker_that_returns_goes_on_with_its_attempt() -> None:
    pending = filled(3, limit=1)
    before = pending.windows.open("c1", "w")
    take(pending, before)
    pending.release(before, now=0)
    assert take(pending, pending.windows.open("c2", "w")) == [(1, 1), (2, 1), (3, 1)], "all at once, as before"


def test_the_last_attempt_is_kept_for_its_worker_for_a_while() -> None:
    pending = filled(1, limit=1)
    before, other = pending.windows.open("c1", "w1"), pending.windows.open("c2", "w2")
    pending.deliver(before, now=0)
    pending.release(before, now=0)
    assert take(pending, other) == []
    assert take(pending, pending.windows.open("c3", "w1")) == [(1, 1)]


def test_a_frozen_worker_loses_nothing_to_others_or_by_itself() -> None:
    pending = filled(4)
    frozen = pending.windows.open("c1", "w1")
    take(pending, frozen)
    pending.admit(5, "e5")
    for now in range(6, 100, 6):
        assert expire(pending, now=now) == []
        assert take(pending, frozen, now=now) == [(1, 1)], "one at a time, and no new one"
    well = pending.windows.open("c2", "w2")
    expire(pending, now=200)
    assert take(pending, frozen, now=200) == []
    for index in (1, 2, 3, 4, 5):
        assert take(pending, well, now=200)[0] == (index, 1)
        pending.ack(f"e{index}", well)


def test_a_word_ends_the_silence() -> None:
    pending = filled(2)
    one, _ = pending.windows.open("c1", ""), pending.windows.open("c2", "")
    take(pending, one)
    expire(pending, now=6)
    assert take(pending, one, now=6) == []
    pending.windows.hear(one, now=6)
    assert take(pending, one, now=6) == [(1, 1)]


def test_an_event_that_freezes_its_worker_is_given_up() -> None:
    pending = filled(2)
    window = pending.windows.open("c1", "w1")
    pending.deliver(window, now=0)
    for now in (6, 12):
        assert expire(pending, now=now) == []
        assert take(pending, window, now=now)[0][0] == 1
    assert expire(pending, now=18) == [(1, "not acknowledged within 5s")]
    assert take(pending, window, now=18) == [], "the next one is for a worker that is heard"


def test_where_there_is_one_connection_only_every_time_out_counts() -> None:
    pending = filled(2, limit=2, shared=False)
    window = pending.windows.open("c", "")
    take(pending, window)
    assert expire(pending, now=6) == []
    assert take(pending, window, now=6) == [(1, 2), (2, 2)]
    assert [index for index, _ in expire(pending, now=12)] == [1, 2]


def test_events_of_one_id_are_settled_one_by_one() -> None:
    pending = Pending(redelivery=(5.0,), limit=3)
    one, two = pending.windows.open("c1", ""), pending.windows.open("c2", "")
    for index in (1, 2, 3):
        pending.admit(index, "same")
    for window in (one, two, one):
        pending.deliver(window, now=0)
    assert [pending.ack("same", window).index for window in (two, one, one)] == [2, 1, 3]
    assert "same" not in pending
