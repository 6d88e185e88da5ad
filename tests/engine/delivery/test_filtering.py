"""Which bytes of a batch somebody gets, beside a list of its events."""

from __future__ import annotations

from array import array
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.engine.delivery import filtering
from bus.engine.delivery.filtering import count_next, cut, matching, matching_next
from bus.frame import Format, encode_extra, encode_frame, join_frames
from bus.storage import Batch
from bus.subject import Filter
from bus.units import BEGINNING, NEVER
from tests.engine.support import batch

SUBJECTS = [f"app.{name}" for name in ("a", "b", "c")]
NOW = 100
times = st.none() | st.lists(st.sampled_from([NOW - 1, NOW, NOW + 1, NEVER]), min_size=6, max_size=6)
logs = st.lists(st.tuples(st.lists(st.sampled_from(SUBJECTS), min_size=1, max_size=6), times), min_size=1, max_size=5)
Log = list[tuple[list[str], list[int] | None]]
filters = st.lists(st.sampled_from([*SUBJECTS, "app.>", "app.zzz"]), min_size=1, max_size=2, unique=True)
limits = st.none() | st.integers(1, 8)


def batches_of(log: Log) -> list[Batch]:
    found: list[Batch] = []
    for subjects, expires in log:
        found.append(batch(found[-1].next if found else 1, subjects, expires=(expires or ())[: len(subjects)]))
    return found


def expected(batches: list[Batch], wanted: Filter, start: int, *, now: int = BEGINNING) -> list[tuple[int, bytes]]:
    """What a walk event by event finds."""
    events = [(index, found) for found in batches for index in range(found.first, found.next)]
    return [
        (index, found.frame(index))
        for index, found in events
        if index >= start
        and wanted.matches(found.subject(index))
        and not (found.expires and found.expires[index - found.first] <= now)
    ]


@given(logs, filters, st.sampled_from(Format), limits, limits, st.sampled_from([BEGINNING, NOW]), st.data())
def test_what_is_cut_out_is_what_a_walk_finds(
    log: Log, patterns: list[str], form: Format, limit: int | None, until: int | None, now: int, data: st.DataObject
) -> None:
    batches, wanted = batches_of(log), Filter.parse(patterns)
    start = data.draw(st.integers(1, batches[0].next - 1))
    chunk = cut(batches, wanted, form, start=start, limit=limit, until=until, now=now)
    bound = float("inf") if until is None else until
    left = expected(batches, wanted, start, now=now)
    model = list(islice((event for event in left if event[0] < bound), limit))
    assert chunk.data == join_frames([frame for _, frame in model], form)
    assert chunk.events == len(model)
    assert chunk.next <= min([index for index, _ in left[len(model) :]], default=batches[-1].next), (
        "nothing is passed over"
    )
    assert chunk.events == limit or chunk.next >= min(bound, batches[-1].next) or start >= bound, "and all is looked at"


@given(logs, filters, st.data())
def test_events_and_their_number_are_what_a_walk_finds(log: Log, patterns: list[str], data: st.DataObject) -> None:
    batches, wanted = batches_of(log), Filter.parse(patterns)
    start = data.draw(st.integers(1, batches[-1].next - 1))
    model = expected(batches, wanted, start)
    assert list(matching(batches, wanted, start=start)) == model
    left = [found for found in batches if found.next > start]
    assert count_next(left, wanted, start=start) == (len(model), batches[-1].next)
    until = data.draw(st.integers(start, batches[-1].next))
    counted = count_next(left, wanted, start=start, until=until)
    assert counted.events == len([index for index, _ in model if index < until])


@pytest.mark.parametrize("work", [1, 100])
def test_matching_many_subjects_stops_and_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch, work: int) -> None:
    monkeypatch.setattr(filtering, "WORK", work)
    many = batch(1, [f"app.x{number}.y{number % 7}" for number in range(500)])
    wanted = Filter.parse(["app.*.y3", "app.*.y5"])
    found, index, pieces = list[tuple[int, bytes]](), 1, 0
    while index < many.next:
        events, index = matching_next([many], wanted, start=index, now=NOW)
        found += events
        pieces += 1
    assert found == expected([many], wanted, 1)
    assert pieces > 3, "no turn does all of it"


@pytest.mark.parametrize("work", [1, 100])
def test_counting_many_subjects_stops_and_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch, work: int) -> None:
    monkeypatch.setattr(filtering, "WORK", work)
    many = batch(1, [f"app.x{number}.y{number % 7}" for number in range(500)])
    wanted = Filter.parse(["app.*.y3", "app.*.y5"])
    found, index, pieces = 0, 1, 0
    while index < many.next:
        events, index = count_next([many], wanted, start=index)
        found, pieces = found + events, pieces + 1
    assert found == len(expected([many], wanted, 1))
    assert pieces > 3, "no turn does all of it"


def test_what_a_batch_says_of_its_fields_is_believed() -> None:
    """Else each piece of a replay is searched for fields that old clients don't know."""
    young = encode_frame("e_1", b"app.a", b"1", "2026-01-31T12:00:00Z", 1, encode_extra(headers={"a": "b"}))
    for core, data in ((True, young * 2), (False, join_frames([young] * 2, Format.CORE))):
        found = Batch(1, 3, 0, young * 2, array("I", [len(young)] * 2), (b"app.a",), b"", keyed=False, core=core)
        assert filtering.select(found, [True], Format.CORE, start=1, now=NOW).data == data


def test_a_batch_that_is_wanted_as_a_whole_is_not_copied() -> None:
    whole = batch(1, ["app.a", "app.b"])
    assert cut([whole], Filter.parse(["app.>"]), Format.SSE, start=1, now=NOW).data == whole.frames
    assert filtering.select(whole, [True, True], Format.SSE, start=1, now=NOW).data is whole.frames
