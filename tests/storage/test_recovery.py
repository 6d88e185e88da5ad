"""What opening makes of a log that was not closed, or that was damaged."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from bus.errors import CorruptLogError, LogVersionError
from bus.storage import Batch, Cipher, DamagedLogError, Log, MemoryFiles, verify
from bus.storage.header import HEADER_SIZE

from .doubles import FaultyFiles
from .support import Place, content, fill

ROOM = 1 << 20


@dataclass(frozen=True)
class Sample:
    """A log of one segment: its batches, where each ends in the file, and the file."""

    place: Place
    batches: list[Batch]
    ends: list[int]
    data: bytes

    def before(self, offset: int) -> list[Batch]:
        """The batches that end at *offset* or before."""
        return [batch for batch, end in zip(self.batches, self.ends, strict=True) if end <= offset]

    def restore(self, data: bytes) -> Log:
        """The log opened when the segment has the content *data*."""
        self.place.put(self.place.path(1), data)
        return self.place.open(segment_bytes=ROOM)


def make_sample(cipher: Cipher | None, *, batches: int = 6, close: bool = False) -> Sample:
    place = Place(MemoryFiles(), cipher=cipher)
    log, made, ends = place.open(segment_bytes=ROOM), list[Batch](), list[int]()
    for number in range(batches):
        made += fill(log, 1, events=1 + number % 2, size=5)
        ends.append(log.size)
    if close:
        log.close()
    return Sample(place, made, ends, place.get(place.path(1)))


def readable(log: Log) -> list[Batch]:
    """Every batch that can be read, going on behind damage."""
    batches, index = list[Batch](), log.first
    while index < log.next:
        try:
            batches += log.read(index)
            index = batches[-1].next
        except DamagedLogError as error:
            assert error.damage.next > index
            index = error.damage.next
    return batches


def test_every_cut_of_a_log_that_was_not_closed_leaves_a_prefix(cipher: Cipher | None) -> None:
    sample = make_sample(cipher)
    for size in range(len(sample.data) + 1):
        log = sample.restore(sample.data[:size])
        kept = sample.before(size)
        assert content(log) == kept
        assert log.damage == ()
        if size >= HEADER_SIZE:
            whole = size in (HEADER_SIZE, *sample.ends)
            assert (log.torn is None) == whole
        kept += fill(log, 1)
        assert content(sample.place.open(segment_bytes=ROOM)) == kept


def test_a_torn_tail_is_reported_with_its_place(cipher: Cipher | None) -> None:
    sample = make_sample(cipher)
    log = sample.restore(sample.data[:-3])
    assert log.torn is not None
    assert (log.torn.path, log.torn.offset) == (sample.place.path(1), sample.ends[-2])
    assert log.torn.size == len(sample.data) - 3 - sample.ends[-2]
    assert f"cut off {log.torn.size} bytes at byte {log.torn.offset}" in str(log.torn)
    assert len(sample.place.get(sample.place.path(1))) == log.torn.offset


def test_every_cut_of_a_closed_log_is_damage_and_nothing_is_cut_off(cipher: Cipher | None) -> None:
    sample = make_sample(cipher, close=True)
    sidecar = sample.place.get(sample.place.path(1, ".idx"))
    for size in range(len(sample.data)):
        log = sample.restore(sample.data[:size])
        (damage,) = log.damage
        assert log.next == damage.next == sample.batches[-1].next
        assert readable(log) == sample.before(size)
        assert log.torn is None
        if size > HEADER_SIZE:
            assert sample.place.get(sample.place.path(1)) == sample.data[:size]
            added = fill(log, 1)
            assert log.segments[-1].first == sample.batches[-1].next
            assert readable(sample.place.open(segment_bytes=ROOM)) == sample.before(size) + added
            sample.place.remove(log.segments[-1].path)
        sample.place.remove(sample.place.path(1, ".idx"))
        sample.place.files.create(sample.place.path(1, ".idx")).write(0, sidecar)
        if sample.place.path(1) not in sample.place.segments():
            sample.place.files.create(sample.place.path(1))


def spoil(data: bytes, offset: int, size: int = 1) -> bytes:
    return data[:offset] + bytes(255 - byte for byte in data[offset : offset + size]) + data[offset + size :]


def test_a_damaged_batch_before_the_tail_is_named_and_the_rest_is_read(cipher: Cipher | None) -> None:
    sample = make_sample(cipher)
    for number in range(len(sample.batches) - 1):
        lost, start = sample.batches[number], [HEADER_SIZE, *sample.ends][number]
        for offset in (start, start + 9, start + 60):
            log = sample.restore(spoil(sample.data, offset))
            (damage,) = log.damage
            assert (damage.path, damage.offset) == (sample.place.path(1), start)
            assert (damage.first, damage.next) == (lost.first, lost.next)
            assert readable(log) == [batch for batch in sample.batches if batch != lost]
            for index in range(lost.first, lost.next):
                with pytest.raises(DamagedLogError, match=r"at byte \d+: \d+ bytes are no valid batch; event"):
                    log.read(index)
            assert sample.place.get(sample.place.path(1)) == spoil(sample.data, offset)
            assert log.torn is None


def test_a_log_goes_on_behind_damage_in_a_new_segment(cipher: Cipher | None) -> None:
    sample = make_sample(cipher)
    log = sample.restore(spoil(sample.data, sample.ends[1]))
    lost = sample.batches[2]
    added = fill(log, 3)
    assert [segment.first for segment in log.segments] == [1, sample.batches[-1].next]
    log.close()
    log = sample.place.open(segment_bytes=ROOM)
    assert [damage.first for damage in log.damage] == [lost.first]
    assert readable(log) == [batch for batch in sample.batches if batch != lost] + added


def test_a_torn_tail_behind_damage_is_cut_off_all_the_same(cipher: Cipher | None) -> None:
    sample = make_sample(cipher)
    log = sample.restore(spoil(sample.data, sample.ends[1])[:-1])
    assert (len(log.damage), log.torn is not None) == (1, True)
    assert log.next == sample.batches[-1].first


def test_a_hole_that_a_crash_explains_is_cut_off_with_what_follows(cipher: Cipher | None) -> None:
    place = Place(MemoryFiles(), cipher=cipher)
    log = place.open(segment_bytes=ROOM)
    kept, end = fill(log, 2), log.size
    fill(log, 3, sync=False)
    place.put(place.path(1), spoil(place.get(place.path(1)), end + 20))
    log = place.open(segment_bytes=ROOM)
    assert content(log) == kept
    assert (log.damage, log.torn is not None) == ((), True)
    assert log.size == end


def test_the_control_for_that_synced_in_between_is_damage(cipher: Cipher | None) -> None:
    place = Place(MemoryFiles(), cipher=cipher)
    log = place.open(segment_bytes=ROOM)
    fill(log, 2)
    end = log.size
    fill(log, 3, sync=True)
    place.put(place.path(1), spoil(place.get(place.path(1)), end + 20))
    log = place.open(segment_bytes=ROOM)
    assert (len(log.damage), log.torn, log.next) == (1, None, 6)


def test_a_creation_that_was_interrupted_is_replaced(cipher: Cipher | None) -> None:
    place = Place(MemoryFiles(), cipher=cipher)
    with place.open() as log:
        batches = fill(log, 3)
        log.roll()
    header = place.get(place.path(4))
    for size in range(HEADER_SIZE):
        for content_ in (header[:size], bytes(size)):
            place.put(place.path(4), content_)
            if place.path(4, ".idx") in map(place.directory.joinpath, place.files.names(place.directory)):
                place.remove(place.path(4, ".idx"))
            log = place.open()
            assert (content(log), log.next, log.damage) == (batches, 4, ())
            log.roll()


SEGMENTS = 5


@pytest.fixture
def many(memory: Place) -> Place:
    """A closed log of several segments."""
    with memory.open() as log:
        fill(log, 300)
        assert len(log.segments) >= SEGMENTS
    return memory


@pytest.mark.parametrize("keep_sidecar", [True, False])
def test_a_segment_that_is_missing_in_the_middle_is_named(many: Place, keep_sidecar: bool) -> None:
    whole = content(many.open(read_only=True))
    first, missing, after = (segment for segment in many.open(read_only=True).segments[:3])
    many.remove(missing.path)
    if not keep_sidecar:
        many.remove(missing.path.with_suffix(".idx"))
    log = many.open()
    (damage,) = log.damage
    assert (damage.path, damage.first, damage.next) == (missing.path, first.next, after.first)
    assert str(damage).endswith(f"the segment is missing; events {missing.first} to {missing.next - 1} can't be read")
    assert readable(log) == [batch for batch in whole if not missing.first <= batch.first < missing.next]


@pytest.mark.parametrize("which", [0, -1])
def test_a_segment_that_is_missing_at_an_end_is_named_by_its_sidecar(many: Place, which: int) -> None:
    log = many.open(read_only=True)
    whole, missing = content(log), log.segments[which]
    many.remove(missing.path)
    log = many.open()
    (damage,) = log.damage
    assert (damage.path, damage.first, damage.next) == (missing.path, missing.first, missing.next)
    assert log.next == whole[-1].next
    rest = [batch for batch in whole if not missing.first <= batch.first < missing.next]
    assert readable(log) == rest
    rest += fill(log, 1)
    assert readable(many.open()) == rest


def test_a_closed_segment_without_a_header_is_damage(many: Place) -> None:
    whole = content(many.open(read_only=True))
    broken = many.open(read_only=True).segments[1]
    many.put(broken.path, bytes(HEADER_SIZE) + many.get(broken.path)[HEADER_SIZE:])
    log = many.open()
    (damage,) = log.damage
    assert (damage.path, damage.first, damage.next) == (broken.path, broken.first, broken.next)
    assert readable(log) == [batch for batch in whole if not broken.first <= batch.first < broken.next]


def test_a_log_whose_last_segment_has_no_header_opens_for_reading_only(many: Place) -> None:
    last = many.open(read_only=True).segments[-1]
    spoiled = bytes(HEADER_SIZE) + many.get(last.path)[HEADER_SIZE:]
    many.put(last.path, spoiled)
    what = r"neither copy of the header is intact.* events from .* on can.t be read"
    with pytest.raises(CorruptLogError, match=what):
        many.open()
    log = many.open(read_only=True)
    assert (log.next, len(log.damage)) == (last.first, 1)
    assert many.get(last.path) == spoiled


def test_one_copy_of_the_header_is_enough(many: Place) -> None:
    whole = content(many.open(read_only=True))
    for path in many.segments():
        many.put(path, spoil(many.get(path), 30))
    assert content(many.open()) == whole
    named = [damage for checked in verify(many.directory, files=many.files, cipher=many.cipher)
             for damage in checked.damage]  # fmt: skip
    assert {damage.offset for damage in named} == {0}
    assert len(named) == len(many.segments())


def test_another_version_is_refused_and_untouched(many: Place) -> None:
    path = many.segments()[-1]
    half = HEADER_SIZE // 2
    copy = many.get(path)[:8] + b"\x07\x00" + many.get(path)[10:half]
    changed = 2 * copy + many.get(path)[HEADER_SIZE:]
    many.put(path, changed)
    with pytest.raises(LogVersionError, match=r"\.log is of version 7, this Bus reads versions up to 2"):
        many.open()
    assert many.get(path) == changed


def test_a_sidecar_that_is_missing_or_damaged_is_made_again(many: Place) -> None:
    whole = content(many.open(read_only=True))
    paths = [path.with_suffix(".idx") for path in many.segments()]
    good = {path: many.get(path) for path in paths}
    for path, how in zip(paths, (b"", good[paths[0]][:-1], spoil(good[paths[2]], 20), b"?" * 500), strict=False):
        many.put(path, how)
    many.remove(paths[4])
    with many.open() as log:
        assert content(log) == whole
        assert log.damage == ()
    assert {path: many.get(path) for path in paths} == good


def test_every_flipped_bit_of_a_sidecar_is_noticed_and_harmless(memory: Place) -> None:
    with memory.open() as log:
        batches = fill(log, 40)
    first = memory.open(read_only=True).segments[0]
    path = first.path.with_suffix(".idx")
    good = memory.get(path)
    for bit in range(8 * len(good)):
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << bit % 8
        memory.put(path, bytes(flipped))
        assert any(checked.damage for checked in verify(memory.directory, files=memory.files, cipher=memory.cipher))
        assert content(memory.open(read_only=True)) == batches


def test_a_reader_changes_nothing_whatever_it_finds(many: Place) -> None:
    paths = many.segments()
    many.remove(paths[0].with_suffix(".idx"))
    many.put(paths[-1], many.get(paths[-1]) + b"half a batch")
    many.files.create(many.directory / "00000000000000000009.idx.tmp")
    files = FaultyFiles(many.files)
    log = Log.open(many.directory, files=files, cipher=many.cipher, read_only=True)
    content(log)
    log.close()
    list(verify(many.directory, files=files, cipher=many.cipher))
    assert files.changes == []


def test_the_control_for_that_a_writer_changes_much(many: Place) -> None:
    many.remove(many.segments()[0].with_suffix(".idx"))
    files = FaultyFiles(many.files)
    Log.open(many.directory, files=files, cipher=many.cipher)
    assert files.changes != []
