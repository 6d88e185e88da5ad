"""What is written of a delivery says what the next server has to know, and JetStream's own count the rest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.engine.consumer.delivery import CROWD, SINGLE, UNLOST, Loss
from bus.engine.consumer.kept_delivery import KeptDelivery
from bus.engine.consumer.terms import Terms
from bus.engine.jetstream.consumers.consumer_record import ConsumerRecord, DeliveryRecord, is_told_by, take_up
from bus.engine.jetstream.consumers.leases import Lease
from bus.engine.jetstream.naming import Naming
from bus.subject import Filter

counts = st.integers(1, 9)
kept = st.builds(
    KeptDelivery, st.just(7), st.integers(0, 9), worker=st.sampled_from(["", "w"]), loss=st.sampled_from(list(Loss)),
    alone=st.booleans(),
)  # fmt: skip


def lease(delivered: int, source: str = "7") -> Lease:
    return Lease(7, "$JS.ACK", delivered, source, 0.0)


@given(kept, counts)
def test_what_needs_no_record_is_known_without_one(found: KeptDelivery, delivered: int) -> None:
    """The attempts that are over count, and the next one is the next."""
    if is_told_by(lease(delivered), found):
        taken = take_up(lease(delivered + 1), None)
        assert (taken.attempts, taken.alone, taken.worker) == (found.attempts, False, "")
        assert taken.loss is SINGLE, "whoever has it next makes another attempt, if there is one left"


@given(kept, counts)
def test_a_record_is_taken_up_as_it_was_written(found: KeptDelivery, delivered: int) -> None:
    taken = take_up(lease(delivered + 1), DeliveryRecord("7", delivered, found))
    assert (taken.attempts, taken.alone) == (found.attempts, found.alone)
    assert taken.loss == (found.loss or SINGLE)


@given(kept, counts, counts)
def test_what_was_delivered_after_a_record_counts(found: KeptDelivery, delivered: int, unknown: int) -> None:
    taken = take_up(lease(delivered + 1 + unknown), DeliveryRecord("7", delivered, found))
    assert (taken.attempts, taken.loss) == (found.attempts + unknown, SINGLE)


@given(kept, counts)
def test_a_record_of_another_message_says_nothing(found: KeptDelivery, delivered: int) -> None:
    record = DeliveryRecord("redriven.1", delivered, found)
    assert take_up(lease(delivered + 1), record) == take_up(lease(delivered + 1), None)


@pytest.mark.parametrize("loss", [CROWD, UNLOST])
def test_what_was_lost_beside_others_needs_a_record(loss: Loss) -> None:
    assert is_told_by(lease(1), KeptDelivery(7, 1, loss=loss)) == (loss is UNLOST)


@pytest.mark.parametrize(
    ("patterns", "wanted"),
    [
        (["app.a", "app.>", "app.b.*"], ("p.app.>",)),
        (["app.a.b", "app.*.b"], ("p.app.*.b",)),
        (["app._dead_.c", "app.a"], ("p._dead_.app.c", "p.app.a")),
        (["app._dead_.>", "app.>"], ("p.app.>", "p._dead_.app.>")),
    ],
)
def test_patterns_within_others_are_left_to_those(patterns: list[str], wanted: tuple[str, ...]) -> None:
    record = ConsumerRecord.of("c", Terms(filter=Filter.parse(patterns)), start=1)
    assert record.config(Naming("p")).filter_subjects == wanted


def test_a_move_is_another_consumer_of_jetstream_with_the_same_dead_events() -> None:
    record = ConsumerRecord.of("c", Terms(filter=Filter.parse(["app.a"])), start=5)
    moved = record.moved(0)
    assert (moved.start, moved.token, moved.redrive_consumer) == (1, record.token, record.redrive_consumer)
    assert moved.consumer != record.consumer
    assert moved.terms == record.terms
