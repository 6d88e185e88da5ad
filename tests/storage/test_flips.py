"""Every single flipped bit of a segment is noticed, and nothing wrong is ever read for it."""

from __future__ import annotations

import pytest

from bus.storage import Batch, Cipher, DamagedLogError, MemoryFiles, verify

from .support import Place, content, fill

ROOM = 1 << 20
Sample = tuple[Place, list[Batch], bytes]


@pytest.fixture(params=["crashed", "preallocated", "closed"])
def sample(request: pytest.FixtureRequest, cipher: Cipher | None) -> Sample:
    """Three batches in one segment, with zeros behind them or without, or with a sidecar."""
    place = Place(MemoryFiles(), cipher=cipher, preallocate=request.param == "preallocated")
    log = place.open(segment_bytes=ROOM)
    batches = fill(log, 3, events=2, size=4)
    if request.param == "closed":
        log.close()
    return place, batches, place.get(place.path(1))


def readable(place: Place) -> list[Batch]:
    log = place.open(segment_bytes=ROOM, read_only=True)
    batches, index = list[Batch](), log.first
    while index < log.next:
        try:
            batches += log.read(index)
            index = batches[-1].next
        except DamagedLogError as error:
            index = error.damage.next
    return batches


def test_every_flipped_bit_is_noticed(sample: Sample) -> None:
    place, batches, data = sample
    missed = []
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        place.put(place.path(1), bytes(flipped))
        read = readable(place)
        assert [batch for batch in batches if batch in read] == read
        assert len(read) >= len(batches) - 1
        (checked,) = verify(place.directory, files=place.files, cipher=place.cipher)
        if not checked.damage and not checked.torn:
            missed.append(bit)
    assert missed == []


def test_the_control_for_that_nothing_flipped_is_nothing_noticed(sample: Sample) -> None:
    place, batches, _ = sample
    (checked,) = verify(place.directory, files=place.files, cipher=place.cipher)
    assert (checked.damage, checked.torn) == ((), None)
    assert readable(place) == batches == content(place.open(segment_bytes=ROOM))
