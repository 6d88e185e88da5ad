"""Where a subscription begins, for every way to say it, and what is missing before that."""

from __future__ import annotations

import pytest

from bus.engine.base import Gap, Subscribe
from bus.engine.embedded.log_namespace import LogNamespace
from bus.engine.reading.start_position import StartPosition, find, gap_between, locate
from bus.engine.start import StartKind, StartPoint
from bus.errors import UnknownEventError
from bus.subject import Filter
from bus.units import SECOND_NS, format_time
from tests.engine.support import ManualLoop, batch, event_id, fill, open_namespace, store

EVERYTHING = Filter.parse(["app.>"])


def subscribe(kind: StartKind, *, event_id: str = "", index: int = 0, time: int = 0) -> Subscribe:
    return Subscribe(filter=EVERYTHING, start=StartPoint(kind, event_id=event_id, index=index, time=time))


@pytest.fixture
def namespace(loop: ManualLoop) -> LogNamespace:
    """Events 1 to 40."""
    namespace = open_namespace(loop, segment_bytes=2048)
    fill(namespace, 40)
    return namespace


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (subscribe(StartKind.OLDEST), 1),
        (subscribe(StartKind.NEWEST), 41),
        (subscribe(StartKind.AFTER, event_id=event_id(7)), 8),
        (subscribe(StartKind.INDEX, index=7), 7),
        (subscribe(StartKind.INDEX, index=41), 41),
        (Subscribe(filter=EVERYTHING, resume_after=event_id(40)), 41),
    ],
)
def test_a_place_that_is_there_is_found_without_a_gap(namespace: LogNamespace, wanted: Subscribe, index: int) -> None:
    assert locate(namespace, wanted) == StartPosition(index)


@pytest.mark.parametrize(
    "wanted", [subscribe(StartKind.AFTER, event_id=event_id(41)), subscribe(StartKind.INDEX, index=42)]
)
def test_a_start_that_never_was_is_refused(namespace: LogNamespace, wanted: Subscribe) -> None:
    with pytest.raises(UnknownEventError):
        locate(namespace, wanted)


def test_who_comes_back_with_an_id_nobody_knows_gets_all_and_is_told(namespace: LogNamespace) -> None:
    wanted = Subscribe(filter=EVERYTHING, resume_after="e_other")
    assert locate(namespace, wanted) == StartPosition(1, Gap("unknown", 1, 0, 1))


def test_what_has_expired_is_a_gap_for_whoever_had_a_place_there_and_none_for_the_oldest(
    namespace: LogNamespace,
) -> None:
    namespace.store.drop_before(30)
    first = namespace.first
    assert 1 < first <= 30
    assert locate(namespace, subscribe(StartKind.OLDEST)) == StartPosition(first)
    for wanted in (subscribe(StartKind.INDEX, index=2), Subscribe(filter=EVERYTHING, resume_after=event_id(1))):
        assert locate(namespace, wanted) == StartPosition(first, Gap("expired", 2, first - 1, first))
    assert find(namespace, event_id(1)) == 1, "an expired id made by Bus is believed"
    assert gap_between(namespace, 2, namespace.read_stored(2)) == Gap("expired", 2, first - 1, first)
    assert gap_between(namespace, first, namespace.read(first)) is None


def test_a_time_is_found_event_by_event(loop: ManualLoop) -> None:
    namespace = open_namespace(loop)
    for second in (10, 20, 30):
        for _ in range(2):
            time = second * SECOND_NS
            store(namespace, batch(namespace.next, ["app.a"], created_at=format_time(time), time=time))
    found = [
        locate(namespace, subscribe(StartKind.TIME, time=second * SECOND_NS)).index for second in (0, 10, 11, 30, 31)
    ]
    assert found == [1, 1, 3, 5, 7]
