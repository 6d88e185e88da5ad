"""`Pending` beside a model of what it promises: nothing lost, nothing delivered twice at once, order per key."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bus.engine.pending import Pending, State
from bus.errors import NotOwnerError, UnknownEventError

REDELIVERY = (5.0, 10.0)
LIMIT = 3
OWNERS = st.sampled_from(["c_one", "c_two", "c_three"])


class PendingMachine(RuleBasedStateMachine):
    """Workers take, settle, die and dawdle; every event ends acknowledged or given up, or is still here."""

    def __init__(self) -> None:
        super().__init__()
        self.pending = Pending(redelivery=REDELIVERY, limit=LIMIT)
        self.now = 0.0
        self.admitted: dict[str, int] = {}
        self.keys: dict[str, str] = {}
        self.acked: set[str] = set()
        self.given_up: set[str] = set()
        self.delivered: dict[str, list[str]] = {}

    def here(self) -> list[str]:
        return sorted(set(self.admitted) - self.acked - self.given_up, key=self.admitted.__getitem__)

    @rule(key=st.sampled_from(["", "", "a", "b"]))
    def admit(self, key: str) -> None:
        index = len(self.admitted) + 1
        event = f"e{index}"
        self.pending.admit(index, event, key=key)
        self.admitted[event] = index
        self.keys[event] = key

    @rule(owner=OWNERS)
    def deliver(self, owner: str) -> None:
        ready = [found for found in self.pending if found.state is State.READY]
        delivery = self.pending.deliver(owner, now=self.now)
        if delivery is None:
            assert not ready
            return
        assert delivery.index == min(found.index for found in ready), "the oldest ready event goes first"
        assert delivery.attempts <= LIMIT
        self.delivered.setdefault(self.keys[delivery.event_id], []).append(delivery.event_id)

    @precondition(lambda self: self.here())
    @rule(data=st.data(), owner=OWNERS, what=st.sampled_from(["ack", "nack", "delay", "reject", "extend"]))
    def settle(self, data: st.DataObject, owner: str, what: str) -> None:
        event = data.draw(st.sampled_from(self.here()))
        found = self.pending.get(event)
        assert found is not None
        if found.state is State.IN_FLIGHT and found.owner != owner:
            with pytest.raises(NotOwnerError):
                self.pending.ack(event, owner)
            return
        last = found.attempts >= LIMIT
        match what:
            case "ack":
                self.pending.ack(event, owner)
                self.acked.add(event)
            case "reject":
                assert self.pending.reject(event, owner, reason="bad").delivery.event_id == event
                self.given_up.add(event)
            case "extend":
                self.pending.extend(event, owner, now=self.now, delay=60)
            case _:
                ends_attempt = found.state in (State.IN_FLIGHT, State.READY)
                gone = self.pending.nack(event, owner, now=self.now, delay=7.0 if what == "delay" else 0.0)
                assert (gone is not None) == (ends_attempt and last), "given up when the attempts are used up"
                if gone:
                    self.given_up.add(event)

    @rule(step=st.sampled_from([0.5, 4.0, 11.0, 100.0]))
    def time_passes(self, step: float) -> None:
        self.now += step
        self.given_up |= {gone.delivery.event_id for gone in self.pending.expire(now=self.now)}
        for found in self.pending:
            if found.state in (State.IN_FLIGHT, State.DELAYED):
                assert found.due > self.now, "nothing that is over stays as it was"

    @rule(owner=OWNERS)
    def die(self, owner: str) -> None:
        self.given_up |= {gone.delivery.event_id for gone in self.pending.release(owner, now=self.now)}
        assert self.pending.in_flight(owner) == 0

    @invariant()
    def nothing_is_lost(self) -> None:
        assert {found.event_id for found in self.pending} == set(self.here())

    @invariant()
    def windows_are_counted(self) -> None:
        for owner in ("c_one", "c_two", "c_three"):
            flying = [found for found in self.pending if found.state is State.IN_FLIGHT and found.owner == owner]
            assert self.pending.in_flight(owner) == len(flying)

    @invariant()
    def one_at_a_time_per_key(self) -> None:
        for key in ("a", "b"):
            mine = [found for found in self.pending if found.key == key]
            free = [found for found in mine if found.state is not State.HELD]
            assert len(free) == min(len(mine), 1)
            if free:
                assert free[0].index == min(found.index for found in mine), "events of a key keep their order"

    @invariant()
    def a_timer_is_set_for_what_ends_by_itself(self) -> None:
        due = [found.due for found in self.pending if found.state in (State.IN_FLIGHT, State.DELAYED)]
        if due:
            assert self.pending.next_due is not None
            assert self.pending.next_due <= min(due)


PendingMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestPending = PendingMachine.TestCase


def test_late_ack_counts_until_the_event_is_given_up() -> None:
    pending = Pending(redelivery=(5.0,), limit=2)
    pending.admit(1, "e1")
    pending.deliver("c", now=0)
    assert pending.expire(now=6) == []
    assert pending.ack("e1", "c").attempts == 1

    pending.admit(2, "e2")
    pending.deliver("c", now=10)
    pending.expire(now=16)
    pending.deliver("c", now=16)
    (gone,) = pending.expire(now=22)
    assert (gone.delivery.event_id, gone.reason) == ("e2", "not acknowledged within 5s")
    with pytest.raises(UnknownEventError, match="isn't awaiting"):
        pending.ack("e2", "c")


def test_redelivery_follows_the_list_and_its_last_element_repeats() -> None:
    pending = Pending(redelivery=(1.0, 5.0), limit=0)
    pending.admit(1, "e1")
    waits = []
    now = 0.0
    for _ in range(4):
        delivery = pending.deliver("c", now=now)
        assert delivery
        waits.append(delivery.due - now)
        now = delivery.due
        pending.expire(now=now)
    assert waits == [1.0, 5.0, 5.0, 5.0]


def test_a_delayed_event_leaves_the_window() -> None:
    pending = Pending(redelivery=(5.0,), limit=0)
    pending.admit(1, "e1")
    pending.admit(2, "e2")
    pending.deliver("c", now=0)
    pending.nack("e1", "c", now=0, delay=60)
    assert pending.in_flight("c") == 0
    second = pending.deliver("c", now=0)
    assert second and second.event_id == "e2"
    assert pending.deliver("c", now=0) is None
    pending.expire(now=60)
    again = pending.deliver("c", now=60)
    assert again and (again.event_id, again.attempts) == ("e1", 2)
