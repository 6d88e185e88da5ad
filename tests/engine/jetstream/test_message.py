"""Events as messages of JetStream: what goes in comes out."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.engine.checked_draft import check_draft
from bus.engine.jetstream.message import Stored, batch_of, decode_event, encode_event, message_id
from bus.engine.jetstream.naming import Naming
from bus.errors import ConfigError
from bus.event import Draft, made_by
from bus.frame import encode_frame, read_frame
from bus.units import NEVER, format_time

MAKE_ID = made_by("0123456789")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
payloads = st.recursive(st.none() | st.integers(-(2**40), 2**40) | texts, lambda inner: st.lists(inner, max_size=3))
drafts = st.builds(
    Draft,
    subject=st.sampled_from(["app.a", "app.größe", "app.a.b-c_d"]),
    payload=payloads.map(lambda value: msgspec.Raw(msgspec.json.encode(value))),
    id=st.none() | st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True),
    key=st.none() | texts,
    trace_id=st.none() | texts,
    headers=st.none() | st.dictionaries(st.sampled_from(["a", "B-c"]), texts, max_size=2),
    ttl=st.none() | st.sampled_from(["5s", "1h"]),
)


@given(draft=drafts, now=st.integers(0, 2**62), index=st.integers(1, 2**40))
def test_an_event_is_the_same_after_its_way_through_a_stream(draft: Draft, now: int, index: int) -> None:
    event = check_draft(draft, now=now)
    stored = Stored(event.subject.decode(), index, encode_event(event), event.payload)

    found = decode_event(stored, MAKE_ID)

    assert found.event_id == (event.event_id or MAKE_ID(index))
    assert (found.time, found.expires, found.subject) == (event.time, event.expires or NEVER, event.subject)
    created_at = format_time(event.time)
    assert found.frame == encode_frame(found.event_id, event.subject, event.payload, created_at, index, event.extra)


@given(events=st.lists(drafts, min_size=1, max_size=8), first=st.integers(1, 2**40))
def test_messages_in_a_row_are_a_batch(events: list[Draft], first: int) -> None:
    checked = [check_draft(draft, now=1) for draft in events]
    messages = [
        Stored(event.subject.decode(), index, encode_event(event), event.payload)
        for index, event in enumerate(checked, first)
    ]

    found = batch_of(messages, MAKE_ID)

    batch = found.batch
    assert (batch.first, batch.next) == (first, first + len(events))
    for event, index in zip(checked, range(batch.first, batch.next), strict=True):
        assert batch.subject(index) == event.subject
        assert read_frame(batch.frame(index)).index == index
    chosen = [(event.event_id, index) for index, event in enumerate(checked, first) if event.event_id]
    assert list(found.chosen) == chosen


def test_what_bus_did_not_write_has_no_payload() -> None:
    found = decode_event(Stored("app.a", 7, b"", b"no\njson"), MAKE_ID)
    assert bytes(read_frame(found.frame).payload) == b"null"


def test_keys_count_for_one_subject() -> None:
    assert message_id("app.a", "k") == message_id("app.a", "k")
    assert len({message_id("app.a", "k"), message_id("app.b", "k"), message_id("app.a", "l")}) == 3


@pytest.mark.parametrize(("path", "prefix"), [("", "bus"), ("eu-1", "eu-1"), ("/x/", "x")])
def test_the_path_is_what_subjects_begin_with(path: str, prefix: str) -> None:
    naming = Naming.of(path)
    assert naming.stream("orders") == f"bus_{prefix}_orders"
    assert naming.everything("orders") == (f"{prefix}.orders.>", f"{prefix}._dead_.orders.>")
    for subject in ("orders.created", "orders._dead_.billing", "orders.a._dead_.b"):
        assert naming.original(naming.subject(subject)) == subject


@pytest.mark.parametrize("path", ["a.b", "a_b", "*", "a b", "x" * 65])
def test_a_path_that_cannot_begin_a_subject_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match="can't begin subjects"):
        Naming.of(path)
