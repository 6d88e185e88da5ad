"""Batches in the making: what was added is what is stored, on disk too."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.engine.checked_draft import CheckedDraft, check_draft
from bus.engine.embedded.batch_builder import BatchBuilder
from bus.errors import BusError
from bus.event import Draft, Receipt, id_maker, index_in
from bus.frame import id_of, json_of
from bus.storage import Log, MemoryFiles
from bus.units import NEVER, SECOND_NS, format_time, parse_time
from bus.wire import Durability
from tests.engine.support import Publishing

NOW = 1_700_000_000_000_000_000
SUBJECTS = st.sampled_from(["app.a", "app.größe", *(f"app.x{number}" for number in range(300))])
PAYLOADS = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 50), 1 << 50) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
drafts = st.lists(
    st.builds(
        Draft,
        subject=SUBJECTS,
        payload=PAYLOADS.map(lambda value: msgspec.Raw(msgspec.json.encode(value))),
        id=st.sampled_from([None, None, "order-7", "e_000000000009zzzzzzzzzz"]),
        key=st.sampled_from([None, None, "k1", "k2"]),
        trace_id=st.sampled_from([None, "t"]),
        ttl=st.sampled_from([None, None, "5s", "52w"]),
        headers=st.sampled_from([None, {}, {"traceparent": "00"}]),
        created_at=st.sampled_from([None, None, format_time(NOW - 5 * 10**9), format_time(NOW + 5 * 10**9)]),
    ),
    min_size=1,
    max_size=30,
)


@given(drafts)
def test_what_is_added_is_what_is_read_from_the_log(drafts: list[Draft]) -> None:
    log = Log.open(Path("/log"), files=MemoryFiles(), cipher=None, segment_bytes=1 << 20)
    builder = BatchBuilder(log.next, log.time, durability=Durability.FSYNC, make_id=id_maker(), hash_id=log.hash_id)
    publishing = Publishing()
    builder.add([check_draft(draft, now=NOW) for draft in drafts], publishing, now=NOW)
    built = builder.build()
    builder.answer()
    receipts = [outcome for outcome in publishing.outcomes if isinstance(outcome, Receipt)]
    assert (builder.first, builder.next) == (built.first, built.next) == (1, len(drafts) + 1)
    log.append(built)
    (stored,) = log.read(1, 1 << 20, 10)
    assert stored == built
    assert builder.time == stored.time <= NOW, "an event of the future doesn't bring the clock of the log forward"
    for index, (draft, receipt) in enumerate(zip(drafts, receipts, strict=True), 1):
        frame = stored.frame(index)
        fields = msgspec.json.decode(json_of(frame))
        assert (receipt.index, receipt.id) == (index, id_of(frame)) == (fields["index"], fields["id"])
        assert fields["subject"] == draft.subject == stored.subject(index).decode()
        assert fields["payload"] == msgspec.json.decode(draft.payload)
        assert fields["created_at"] == receipt.created_at == (draft.created_at or format_time(NOW))
        assert (fields.get("key"), fields.get("trace_id")) == (draft.key, draft.trace_id)
        assert (fields.get("headers"), fields.get("ttl")) == (draft.headers or None, draft.ttl)
        lifetime = {None: NEVER, "5s": 5 * SECOND_NS, "52w": 52 * 7 * 86_400 * SECOND_NS}[draft.ttl]
        expires = stored.expires[index - 1] if stored.expires else NEVER
        assert expires == (lifetime if lifetime == NEVER else parse_time(receipt.created_at) + lifetime)
        found = log.find_client_id(log.hash_id(receipt.id.encode()))
        assert index in found or index_in(receipt.id) == index, "an id that doesn't say where it is can be found"
    keyed = {(draft.subject, draft.key): receipt for draft, receipt in zip(drafts, receipts, strict=True) if draft.key}
    assert builder.claimed == keyed
    assert built.keyed == bool(keyed)
    assert built.core == all(not (draft.headers or draft.ttl) for draft in drafts)


def test_what_is_added_says_how_long_it_is() -> None:
    builder = BatchBuilder(1, 0, durability=Durability.FSYNC, make_id=id_maker(), hash_id=hash)
    event = check_draft(Draft(subject="app.a", payload=msgspec.Raw(b'"%b"' % (b"x" * 1000))), now=NOW)
    sizes = [builder.add([event] * count, Publishing(), now=NOW) for count in (1, 3)]
    assert sum(sizes) == builder.size == len(builder.build().frames)


@pytest.mark.parametrize(
    "draft",
    [Draft(subject="app"), Draft(subject="app.*"), Draft(subject="app.a", id="with space"),
     Draft(subject="app.a", created_at="yesterday"), Draft(subject="app.a", response_subject="app.>")],
)  # fmt: skip
def test_a_draft_that_is_not_in_order_is_refused_before_it_has_an_index(draft: Draft) -> None:
    with pytest.raises(BusError):
        check_draft(draft, now=NOW)


def test_a_checked_draft_has_one_line() -> None:
    checked = check_draft(Draft(subject="app.a", payload=msgspec.Raw(b'{\n  "a": 1\n}')), now=NOW)
    assert isinstance(checked, CheckedDraft)
    assert b"\n" not in checked.payload
    assert msgspec.json.decode(checked.payload) == {"a": 1}
