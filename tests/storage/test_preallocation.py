"""Zeros behind the last batch: there for the next ones, no part of the log, never in the way of noticing a fault."""

from __future__ import annotations

import pytest

from bus.errors import LogFailedError
from bus.storage import Batch, Cipher, DamagedLogError, File, Log, MemoryFiles, verify
from bus.storage.header import HEADER_SIZE
from bus.storage.scan import SegmentScan

from .doubles import EIO, Act, FaultyFiles, Lie
from .support import Place, content, fill, make_batch

ROOM = 1 << 20
MOST = 256 * 1024


@pytest.fixture
def files() -> FaultyFiles:
    return FaultyFiles(MemoryFiles())


@pytest.fixture
def place(files: FaultyFiles, cipher: Cipher | None) -> Place:
    return Place(files, cipher=cipher, preallocate=True)


def segment(place: Place) -> bytes:
    return place.get(place.path(1))


def zeros(log: Log, place: Place) -> int:
    """How many bytes there are behind the last batch; they are zeros."""
    behind = segment(place)[log.size :]
    assert behind == bytes(len(behind))
    return len(behind)


def findings(place: Place) -> list[object]:
    """Whatever a check of the whole log has to say."""
    checked = verify(place.directory, files=place.files, cipher=place.cipher)
    return [found for each in checked for found in (*each.damage, each.torn) if found]


def test_syncs_change_no_size_but_the_one_that_finds_no_zeros_left(place: Place, files: FaultyFiles) -> None:
    log, sizes = place.open(segment_bytes=ROOM), set[int]()
    for _ in range(200):
        fill(log, 1, size=200)
        assert zeros(log, place) <= log.size
        sizes.add(len(segment(place)))
    assert len(sizes) < 10
    assert len([call for call, _ in files.changes if call == "sync"]) == 201


def test_there_are_never_more_zeros_than_a_limit(place: Place) -> None:
    log = place.open(segment_bytes=2 * ROOM)
    fill(log, 1, size=2 * MOST)
    assert zeros(log, place) == MOST


def test_what_is_not_synced_has_no_zeros(place: Place) -> None:
    log = place.open(segment_bytes=ROOM)
    fill(log, 3, sync=False)
    assert zeros(log, place) == 0


def test_a_segment_that_is_closed_ends_with_its_last_batch(place: Place) -> None:
    with place.open() as log:
        batches = fill(log, 120)
        assert len(log.segments) > 2
        for info in log.segments[:-1]:
            assert len(place.get(info.path)) == info.bytes
    assert [len(place.get(info.path)) for info in log.segments] == [info.bytes for info in log.segments]
    assert content(place.open()) == batches


def test_zeros_are_a_quiet_end(place: Place) -> None:
    log = place.open(segment_bytes=ROOM)
    batches, before = fill(log, 5), segment(place)
    assert zeros(log, place) > 0
    assert findings(place) == []
    reader = place.open(segment_bytes=ROOM, read_only=True)
    assert (content(reader), reader.size, segment(place)) == (batches, log.size, before)
    again = place.open(segment_bytes=ROOM)
    assert (content(again), again.torn, again.damage, zeros(again, place)) == (batches, None, (), 0)
    assert content(again) + fill(again, 2) == content(place.open(segment_bytes=ROOM))


def test_every_piece_of_a_batch_over_zeros_is_torn_and_reported_without_them(place: Place) -> None:
    log = place.open(segment_bytes=ROOM)
    batches, end = fill(log, 5), log.size
    room = zeros(log, place)
    fill(log, 1, sync=False)
    data = segment(place)[end : log.size]
    assert len(data) < room
    for cut in range(1, len(data)):
        for piece in (data[:cut], bytes(cut) + data[cut:]):
            place.put(place.path(1), segment(place)[:end] + piece + bytes(room - len(piece)))
            if piece.strip(b"\0"):
                assert len(findings(place)) == 1
            again = place.open(segment_bytes=ROOM)
            assert (content(again), again.damage, len(segment(place))) == (batches, (), end)
            torn = len(piece.rstrip(b"\0"))
            assert (again.torn.size if again.torn else 0) == torn


def test_every_cut_of_the_file_leaves_a_prefix(place: Place) -> None:
    log = place.open(segment_bytes=ROOM)
    batches, ends = list[Batch](), list[int]()
    for _ in range(4):
        batches += fill(log, 1, size=5)
        ends.append(log.size)
    data = segment(place)
    for size in range(HEADER_SIZE, len(data) + 1):
        place.put(place.path(1), data[:size])
        again = place.open(segment_bytes=ROOM)
        assert content(again) == batches[: sum(end <= size for end in ends)]
        assert (again.torn is None) == (size >= ends[-1] or size in (HEADER_SIZE, *ends))


def test_zeros_in_a_closed_segment_are_damage(place: Place) -> None:
    with place.open() as log:
        fill(log, 120)
    place.put(place.path(1), segment(place) + bytes(100))
    assert "100 bytes are no valid batch; no event is lost" in str(*findings(place))


def test_zeros_where_a_sidecar_vouches_for_events_are_damage(place: Place) -> None:
    with place.open(segment_bytes=ROOM) as log:
        fill(log, 3)
    data = segment(place)
    place.put(place.path(1), data[:-60] + bytes(60 + 100))
    (found,) = findings(place)
    assert "event 3 can't be read" in str(found)
    with pytest.raises(DamagedLogError):
        place.open(segment_bytes=ROOM).read(3)


def test_zeros_behind_a_damaged_batch_are_cut_off_when_the_segment_is_left(place: Place) -> None:
    log = place.open(segment_bytes=ROOM)
    fill(log, 5)
    data = bytearray(segment(place))
    data[HEADER_SIZE + 60] ^= 1
    place.put(place.path(1), bytes(data))
    again = place.open(segment_bytes=ROOM)
    assert [damage.first for damage in again.damage] == [1]
    assert len(segment(place)) == log.size
    fill(again, 1)
    assert [damage.first for damage in place.open(segment_bytes=ROOM).damage] == [1]


# -- disks that fail


def test_a_disk_without_room_for_zeros_has_room_for_batches(place: Place, files: FaultyFiles) -> None:
    log = place.open(segment_bytes=ROOM)
    batches = fill(log, 3)
    files.room = len(segment(place)) + 150
    before = zeros(log, place)
    while zeros(log, place):
        batches += fill(log, 1)
    assert log.size > len(segment(place)) - 1 > before
    files.room = ROOM
    batches += fill(log, 1)
    assert zeros(log, place) > 0
    assert content(log) == content(place.open(segment_bytes=ROOM)) == batches


def test_a_disk_that_fails_to_take_zeros_ends_the_writing(place: Place, files: FaultyFiles) -> None:
    log = place.open(segment_bytes=ROOM)
    log.append(make_batch(1))
    files.fail = {"write": EIO}
    with pytest.raises(LogFailedError, match="check the disk"):
        log.sync()


def nothing(file: File, offset: int, data: bytes) -> None:
    """A write that is claimed and not done."""


def only_the_beginning(file: File, offset: int, data: bytes) -> None:
    file.write(offset, data[: len(data) // 2])


def only_the_end(file: File, offset: int, data: bytes) -> None:
    half = len(data) // 2
    file.write(offset + half, data[half:])


@pytest.mark.parametrize("lie", [nothing, only_the_beginning, only_the_end])
@pytest.mark.parametrize("size", [40, 5000, 100_000], ids=["over zeros", "long, over zeros", "beyond them"])
def test_a_write_that_was_claimed_and_not_done_is_noticed(
    place: Place, files: FaultyFiles, lie: Lie, size: int
) -> None:
    log = place.open(segment_bytes=ROOM)
    batches = fill(log, 3, size=5500)
    assert 5000 + 200 < zeros(log, place) < 100_000
    files.lie = lie
    log.append(make_batch(4, [b"x" * size], time=log.time))
    files.lie = None
    with pytest.raises(LogFailedError, match=r"bytes where|other bytes at"):
        log.sync()
    assert content(place.open(segment_bytes=ROOM)) == batches


def test_a_file_that_somebody_else_cuts_is_noticed(place: Place) -> None:
    log = place.open(segment_bytes=ROOM)
    fill(log, 3)
    fill(log, 1, sync=False)
    place.files.open(place.path(1), write=True).truncate(log.size + 1)
    with pytest.raises(LogFailedError, match="bytes where"):
        log.sync()


# -- readers beside the writer


def found_beside_a_writer(cipher: Cipher | None, number: int) -> list[object]:
    """What readers find when the writer commits two batches just before their read of *number*."""
    files = FaultyFiles(MemoryFiles())
    place = Place(files, cipher=cipher, preallocate=True)
    log = place.open(segment_bytes=ROOM)
    fill(log, 6)
    assert zeros(log, place) > 400
    write: Act = lambda: fill(log, 2).clear()  # noqa: E731
    files.before_read = {files.reads + number: write}
    found = findings(place)
    files.before_read = {files.reads + number: write}
    reader = place.open(segment_bytes=ROOM, read_only=True)
    assert reader.next > 6
    files.before_read = {}
    assert content(reader) == content(log)[: len(content(reader))]
    return [*found, *reader.damage]


READS = 16


def test_what_is_written_while_a_reader_looks_is_no_damage(cipher: Cipher | None) -> None:
    assert [found for number in range(READS) for found in found_beside_a_writer(cipher, number)] == []


def test_the_control_for_that_a_single_look_is_not_enough(
    cipher: Cipher | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SegmentScan, "is_filled", lambda self, hole: False)
    assert [found for number in range(READS) for found in found_beside_a_writer(cipher, number)] != []


def test_a_log_that_is_not_asked_to_has_no_zeros(memory: Place) -> None:
    log = memory.open(segment_bytes=ROOM)
    fill(log, 10)
    assert zeros(log, memory) == 0
