"""What verification says of a log: everything that is wrong, with file, offset and indexes."""

from __future__ import annotations

import pytest

from bus.errors import StorageError
from bus.storage import CheckedSegment, Damage, verify
from bus.storage.header import HEADER_SIZE

from .support import Place, fill


def check(place: Place) -> list[CheckedSegment]:
    return list(verify(place.directory, files=place.files, cipher=place.cipher))


def damage(place: Place) -> list[Damage]:
    return [damage for checked in check(place) for damage in checked.damage]


@pytest.fixture
def log(memory: Place) -> Place:
    """A closed log of several segments."""
    with memory.open() as log:
        fill(log, 200)
        assert len(log.segments) >= 4
    return memory


def test_a_log_that_is_whole_has_no_damage(log: Place) -> None:
    checked = check(log)
    listed = log.open(read_only=True).segments
    assert [found.path for found in checked] == [segment.path for segment in listed]
    assert [found.segment and found.segment.next for found in checked] == [segment.next for segment in listed]
    assert damage(log) == []


def test_a_damaged_batch_is_named_where_it_is(log: Place) -> None:
    second = log.open(read_only=True).segments[1]
    data = bytearray(log.get(second.path))
    size = (second.bytes - HEADER_SIZE) // (second.next - second.first)
    data[HEADER_SIZE + 3 * size + 50] ^= 1
    log.put(second.path, bytes(data))
    (found,) = damage(log)
    assert (found.path, found.offset) == (second.path, HEADER_SIZE + 3 * size)
    assert (found.first, found.next) == (second.first + 3, second.first + 4)
    what = f"{size} bytes are no valid batch; event {found.first} can't be read"
    assert str(found) == f"{second.path} at byte {found.offset}: {what}"


def test_everything_that_is_wrong_is_named(log: Place) -> None:
    first, second, third, *_ = log.open(read_only=True).segments
    log.put(first.path, bytes(10) + log.get(first.path)[10:-1])
    log.put(second.path.with_suffix(".idx"), b"nonsense")
    log.remove(third.path)
    found = {(item.path, item.next - item.first) for item in damage(log)}
    lost = third.next - third.first
    sidecar = second.path.with_suffix(".idx")
    assert found == {(first.path, 0), (first.path, 1), (sidecar, 0), (third.path, lost)}


def test_bytes_behind_the_last_batch_of_a_closed_segment_are_damage(log: Place) -> None:
    first = log.open(read_only=True).segments[0]
    log.put(first.path, log.get(first.path) + b"more")
    (found,) = damage(log)
    assert (found.offset, found.first, found.next) == (first.bytes, first.next, first.next)
    assert str(found).endswith("4 bytes are no valid batch; no event is lost")


def test_a_torn_tail_is_no_damage(log: Place) -> None:
    last = log.open(read_only=True).segments[-1]
    log.put(last.path, log.get(last.path) + b"half")
    checked = check(log)[-1]
    assert checked.torn is not None
    assert (checked.damage, checked.torn.offset, checked.torn.size) == ((), last.bytes, 4)


def test_a_log_that_is_being_written_has_no_damage(memory: Place) -> None:
    log = memory.open()
    for _ in range(30):
        fill(log, 3, sync=False)
        assert damage(memory) == []


def test_a_directory_without_a_log_is_said_so(memory: Place) -> None:
    with pytest.raises(StorageError, match="there is no log in /log: check the path"):
        check(memory)
