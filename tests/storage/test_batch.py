"""What a batch is encoded to decodes to the same batch, in its place and nowhere else."""

from __future__ import annotations

import struct
from array import array
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.storage import Batch, Cipher
from bus.storage.batch_codec import HEAD_SIZE, MAGIC, BatchCodec, read_batch_head

from .support import make_batch

PLAIN = BatchCodec(bytes(16), 12345, None, 0)
ENCRYPTED = BatchCodec(bytes(16), 12345, Cipher("secret", block_size=64), 64)
CODECS = pytest.mark.parametrize("codec", [PLAIN, ENCRYPTED], ids=["plain", "encrypted"])

subjects = st.binary(max_size=8) | st.integers(0, 400).map(b"subject.%d".__mod__)
events = st.lists(st.tuples(st.binary(max_size=100), subjects), min_size=1, max_size=400)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    frames, named = zip(*draw(events), strict=True)
    first = draw(st.integers(1, 1 << 60))
    number = st.integers(0, (1 << 64) - 1)
    client_ids = draw(st.lists(st.tuples(number, st.integers(first, first + len(frames) - 1)), max_size=5))
    times = st.integers(-(1 << 63), (1 << 63) - 1)
    expires = draw(st.just([]) | st.lists(times, min_size=len(frames), max_size=len(frames)))
    return make_batch(
        first, frames, time=draw(st.integers(0, (1 << 63) - 1)), subjects=named, keyed=draw(st.booleans()),
        client_ids=client_ids, expires=expires, core=draw(st.booleans()),
    )  # fmt: skip


def decode(codec: BatchCodec, data: bytes, batch: Batch, *, offset: int) -> list[Batch]:
    return codec.decode(data, offset=offset, expected=batch.first, index=batch.first)


@CODECS
@given(batch=batches(), offset=st.integers(0, 1 << 31))
def test_a_batch_comes_back_as_it_was(codec: BatchCodec, batch: Batch, offset: int) -> None:
    data = codec.encode(batch, offset=offset, synced=offset)
    assert decode(codec, data, batch, offset=offset) == [batch]
    (head,) = codec.heads(data, offset=offset, expected=batch.first)
    assert (head.first, head.next, head.time, head.keyed) == (batch.first, batch.next, batch.time, batch.keyed)
    assert (head.size, head.synced, head.client_ids) == (len(data), offset, len(batch.client_ids))


@CODECS
@given(batch=batches(), offset=st.integers(0, 1 << 31), other=st.integers(0, 1 << 31))
def test_a_batch_is_valid_at_its_offset_only(codec: BatchCodec, batch: Batch, offset: int, other: int) -> None:
    data = codec.encode(batch, offset=offset, synced=0)
    assert bool(decode(codec, data, batch, offset=other)) == (other == offset)
    assert bool(codec.heads(data, offset=other, expected=batch.first)) == (other == offset)


@CODECS
def test_a_batch_of_another_segment_or_index_is_none(codec: BatchCodec) -> None:
    batch = make_batch(7)
    data = codec.encode(batch, offset=500, synced=0)
    assert decode(replace(codec, seed=12346), data, batch, offset=500) == []
    assert codec.decode(data, offset=500, expected=8, index=8) == []


def test_a_batch_with_another_salt_does_not_open() -> None:
    batch = make_batch(7)
    data = ENCRYPTED.encode(batch, offset=500, synced=0)
    assert decode(replace(ENCRYPTED, salt=b"another salt 16b"), data, batch, offset=500) == []


@CODECS
def test_a_run_is_decoded_from_an_index_on_up_to_a_limit(codec: BatchCodec) -> None:
    run = [make_batch(first, [bytes(10)] * 2) for first in range(1, 40, 2)]
    data = b""
    for batch in run:
        data += codec.encode(batch, offset=1000 + len(data), synced=0)
    for number, batch in enumerate(run):
        for index in (batch.first, batch.last):
            assert codec.decode(data, offset=1000, expected=1, index=index) == run[number:]
        assert codec.decode(data, offset=1000, expected=1, index=index, limit=1) == [batch]
    assert codec.decode(data[:-1], offset=1000, expected=1, index=1) == run[:-1]


def test_a_batch_knows_its_frames_and_subjects() -> None:
    batch = make_batch(5, [b"one", b"", b"three"], subjects=[b"a", b"b", b"a"])
    assert (batch.count, batch.last, batch.next) == (3, 7, 8)
    assert batch.offsets() == [0, 3, 3, 8]
    assert [batch.frame(index) for index in (5, 6, 7)] == [b"one", b"", b"three"]
    assert [batch.subject(index) for index in (5, 6, 7)] == [b"a", b"b", b"a"]
    with pytest.raises(IndexError, match="event 8 is not among 5 to 7"):
        batch.frame(8)


def test_what_expires_costs_nothing_where_nothing_does_and_is_passed_over_by_who_does_not_know_it() -> None:
    """A reader of Bus 0.1 knows no more of the table than how long it is, and no bit of the flags but the first."""
    frames = [b"one", b"two"]
    plain, expiring = (PLAIN.encode(make_batch(1, frames, expires=times), offset=0, synced=0) for times in ((), (5, 7)))
    assert (
        expiring
        == plain[:4] + expiring[4:16] + plain[16:46] + b"\2\0" + plain[48:-6] + struct.pack("<qq", 5, 7) + plain[-6:]
    )
    (found,) = PLAIN.decode(expiring, offset=0, expected=1, index=1)
    assert [found.has_expired(now) for now in (4, 5, 7)] == [False, True, True]
    assert not make_batch(1, frames).has_expired(1 << 62)


@pytest.mark.parametrize("count", [0, 65_536])
def test_a_batch_has_one_to_65535_subjects(count: int) -> None:
    names = tuple(b"%d" % number for number in range(count))
    which = array("H", [0] * max(count, 1))
    batch = Batch(1, 1 + len(which), 0, bytes(len(which)), array("I", [1] * len(which)), names, which, False)
    with pytest.raises(ValueError, match=f"a batch of {count} subjects can't be stored"):
        PLAIN.encode(batch, offset=0, synced=0)


def test_what_is_no_header_is_none() -> None:
    head = PLAIN.encode(make_batch(1), offset=0, synced=0)[:HEAD_SIZE]
    assert read_batch_head(head) is not None
    assert read_batch_head(head[:-1]) is None
    assert read_batch_head(b"text" + head[4:]) is None
    assert read_batch_head(head[:16] + bytes(4) + head[20:]) is None


def test_no_text_holds_the_magic() -> None:
    with pytest.raises(UnicodeDecodeError):
        MAGIC.decode()
