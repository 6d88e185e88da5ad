"""What the storage tests share: batches made from little, and a log's content as a list."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path

from bus.storage import Batch, Log

DIRECTORY = Path("/log")
SUBJECT = b"app.users.created"


def make_batch(
    first: int,
    frames: Sequence[bytes] = (b"id: e_1\nevent: msg\ndata: {}\n\n",),
    *,
    time: int = 0,
    subjects: Sequence[bytes] = (),
    keyed: bool = False,
    foreign: Sequence[tuple[int, int]] = (),
) -> Batch:
    """A batch of *frames*; *subjects* has one for each, or is empty if all have the same."""
    given = list(subjects) or [SUBJECT] * len(frames)
    distinct = tuple(dict.fromkeys(given))
    numbers = [distinct.index(subject) for subject in given]
    which: bytes | array[int] = b""
    if len(distinct) > 1:
        which = bytes(numbers) if len(distinct) <= 256 else array("H", numbers)
    lengths = array("I", map(len, frames))
    return Batch(first, time, b"".join(frames), lengths, distinct, which, keyed, tuple(foreign))


def fill(log: Log, count: int, *, events: int = 1, size: int = 40, sync: bool = True) -> list[Batch]:
    """Appends *count* batches that are all different, a second apart, and syncs."""
    batches = []
    for _ in range(count):
        first = log.next
        frames = [f"{index:0{size}}".encode() for index in range(first, first + events)]
        batches.append(make_batch(first, frames, time=first * 1_000_000_000))
        log.append(batches[-1])
    if sync:
        log.sync()
    return batches


def content(log: Log, *, limit: int = 256 * 1024) -> list[Batch]:
    """Every batch of the log, by reading on from one read to the next."""
    batches: list[Batch] = []
    index = log.first
    while found := log.read(index, limit):
        batches += found
        index = found[-1].next
    return batches
