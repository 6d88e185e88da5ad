"""What stands on disk of an encrypted log, and what doesn't open it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bus.errors import WrongKeyError
from bus.storage import DISK, Cipher, DamagedLogError, Log, MemoryFiles, verify
from bus.storage.batch_codec import HEAD_SIZE
from bus.storage.cipher import OVERHEAD, hash_id
from bus.storage.header import HEADER_SIZE

from .support import Place, content, fill, make_batch

ENCRYPTED, PLAIN = Cipher("secret"), None
ROOM = 1 << 20


def whole_directory(place: Place) -> dict[str, bytes]:
    return {name: place.get(place.directory / name) for name in place.files.names(place.directory)}


def make(cipher: Cipher | None) -> Place:
    place = Place(MemoryFiles(), cipher=cipher)
    with place.open() as log:
        fill(log, 200)
    return place


KEYS = {
    "wrong": (ENCRYPTED, Cipher("Secret"), "was encrypted with another secret key"),
    "missing": (ENCRYPTED, PLAIN, "is encrypted: give the secret key"),
    "for a plain log": (PLAIN, ENCRYPTED, "is not encrypted, but a secret key was given"),
}


@pytest.mark.parametrize("which", KEYS)
@pytest.mark.parametrize("read_only", [True, False])
def test_a_key_that_does_not_fit_is_refused_and_nothing_is_touched(which: str, read_only: bool) -> None:
    written, given, message = KEYS[which]
    place = make(written)
    last = place.segments()[-1]
    place.put(last, place.get(last)[:-1])
    before = whole_directory(place)
    with pytest.raises(WrongKeyError, match=message):
        Log.open(place.directory, files=place.files, cipher=given, read_only=read_only)
    with pytest.raises(WrongKeyError, match=message):
        list(verify(place.directory, files=place.files, cipher=given))
    assert whole_directory(place) == before


def test_the_control_for_that_the_right_key_opens_and_cuts() -> None:
    place = make(ENCRYPTED)
    last = place.segments()[-1]
    place.remove(last.with_suffix(".idx"))
    place.put(last, place.get(last)[:-1])
    assert place.open().torn is not None


SUBJECT, ID, PAYLOAD = b"app.users.created", b"e_2QkzYgYJgA", b"a payload that no one should read"


@pytest.mark.parametrize("cipher", [ENCRYPTED, PLAIN], ids=["encrypted", "plain"])
def test_subjects_frames_ids_and_digests_are_nowhere_in_clear(cipher: Cipher | None, tmp_path: Path) -> None:
    place = Place(DISK, tmp_path, cipher)
    frame = b"id: " + ID + b"\ndata: " + PAYLOAD + b"\n\n"
    with place.open() as log:
        for first in range(1, 100):
            client_ids = [(log.hash_id(ID), first)]
            log.append(make_batch(first, [frame], subjects=[SUBJECT], client_ids=client_ids, keyed=True))
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    digest = hash_id(ID).to_bytes(8, "little")
    found = [word for word in (SUBJECT, ID, PAYLOAD, digest, b"secret", b"data: ") if word in stored]
    assert found == ([] if cipher else [SUBJECT, ID, PAYLOAD, digest, b"data: "])


def test_equal_batches_are_encrypted_to_unequal_bytes() -> None:
    place = Place(MemoryFiles(), cipher=ENCRYPTED)
    with place.open() as log:
        for first in range(1, 50):
            log.append(make_batch(first, [bytes(64)]))
    (segment, *_) = place.segments()
    data = place.get(segment)
    pieces = [data[at : at + 16] for at in range(HEADER_SIZE, len(data) - 16)]
    assert len(pieces) - len(set(pieces)) < 50 * HEAD_SIZE


def test_a_log_keeps_the_block_size_its_segments_were_encrypted_with() -> None:
    place = Place(MemoryFiles(), cipher=Cipher("secret", block_size=64))
    with place.open() as log:
        batches = fill(log, 100)
    other = Place(place.files, cipher=Cipher("secret", block_size=4096))
    with other.open() as log:
        batches += fill(log, 100)
    with place.open() as log:
        assert content(log) == batches


Change = Callable[[list[bytes]], list[bytes]]
MOVES: dict[str, Change] = {
    "moved": lambda units: [units[0], units[2], units[1], *units[3:]],
    "repeated": lambda units: [units[0], units[1], units[1], *units[3:]],
    "inserted again": lambda units: [*units[:2], units[1], *units[2:]],
    "dropped": lambda units: [units[0], *units[2:]],
}


@pytest.mark.parametrize("how", MOVES)
@pytest.mark.parametrize("closed", [True, False])
def test_a_batch_that_is_moved_repeated_or_dropped_is_noticed(cipher: Cipher | None, how: str, closed: bool) -> None:
    place = Place(MemoryFiles(), cipher=cipher)
    log = place.open(segment_bytes=ROOM)
    batches = fill(log, 6)
    if closed:
        log.close()
    data, size = place.get(place.path(1)), (log.size - HEADER_SIZE) // 6
    units = [data[at : at + size] for at in range(HEADER_SIZE, len(data), size)]
    place.put(place.path(1), data[:HEADER_SIZE] + b"".join(MOVES[how](units)))
    (checked,) = verify(place.directory, files=place.files, cipher=cipher)
    assert checked.damage or checked.torn
    log = place.open(segment_bytes=ROOM)
    for batch in batches[: log.next - 1]:
        try:
            assert log.read(batch.first)[0] == batch
        except DamagedLogError as error:
            assert error.damage.first <= batch.first < error.damage.next


def test_a_batch_of_another_segment_is_noticed(cipher: Cipher | None) -> None:
    places = [Place(MemoryFiles(), cipher=cipher) for _ in range(2)]
    for place in places:
        log = place.open(segment_bytes=ROOM)
        fill(log, 5)
    one, two = (place.get(place.path(1)) for place in places)
    middle = slice(HEADER_SIZE + 2 * (len(one) - HEADER_SIZE) // 5, HEADER_SIZE + 3 * (len(one) - HEADER_SIZE) // 5)
    places[0].put(places[0].path(1), one[: middle.start] + two[middle] + one[middle.stop :])
    (damage,) = places[0].open(segment_bytes=ROOM).damage
    assert (damage.first, damage.next) == (3, 4)


def test_encrypted_blocks_that_change_places_are_noticed_behind_a_right_checksum() -> None:
    """Whoever writes to the disk can compute a checksum; only encryption stops this."""
    place = Place(MemoryFiles(), cipher=Cipher("secret", block_size=64))
    log = place.open(segment_bytes=ROOM)
    batches = fill(log, 3, size=300)
    active = log._view.active
    assert active is not None
    data, size = bytearray(place.get(place.path(1))), (log.size - HEADER_SIZE) // 3
    start, step = HEADER_SIZE + size + HEAD_SIZE, 64 + OVERHEAD
    one, two = slice(start, start + step), slice(start + step, start + 2 * step)
    data[one], data[two] = data[two], data[one]
    re_encrypt(data, offset=HEADER_SIZE + size, size=size, seed=active.codec.seed)
    place.put(place.path(1), bytes(data))
    log = place.open(segment_bytes=ROOM)
    with pytest.raises(DamagedLogError, match="does not open with the secret key, though its checksum is right"):
        log.read(2)
    assert (log.read(1)[0], log.read(3)[0]) == (batches[0], batches[2])
    (checked,) = verify(place.directory, files=place.files, cipher=place.cipher)
    assert [(damage.first, damage.next) for damage in checked.damage] == [(2, 3)]


def test_a_forged_header_of_an_encrypted_batch_is_noticed() -> None:
    place = Place(MemoryFiles(), cipher=ENCRYPTED)
    log = place.open(segment_bytes=ROOM)
    fill(log, 3)
    active = log._view.active
    assert active is not None
    data, size = bytearray(place.get(place.path(1))), (log.size - HEADER_SIZE) // 3
    data[HEADER_SIZE + size + 32] ^= 1
    re_encrypt(data, offset=HEADER_SIZE + size, size=size, seed=active.codec.seed)
    place.put(place.path(1), bytes(data))
    with pytest.raises(DamagedLogError, match="does not open"):
        place.open(segment_bytes=ROOM).read(2)


def re_encrypt(data: bytearray, *, offset: int, size: int, seed: int) -> None:
    """Gives the batch at *offset* the checksum of what it is now."""
    from crc32c import crc32c

    data[offset + 4 : offset + 8] = crc32c(bytes(data[offset + 8 : offset + size]), seed ^ offset).to_bytes(4, "little")
