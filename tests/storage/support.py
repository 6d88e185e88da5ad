"""What the storage tests share: batches made from little, a log's content as a list, a place to keep it."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bus.storage import Batch, Cipher, FileSystem, Log

DIRECTORY = Path("/log")
SUBJECT = b"app.users.created"
SECOND = 1_000_000_000


@dataclass(frozen=True)
class Place:
    """Where a log is kept, to open it again and again."""

    files: FileSystem
    directory: Path = DIRECTORY
    cipher: Cipher | None = None
    preallocate: bool = False

    def open(self, *, segment_bytes: int = 4096, read_only: bool = False) -> Log:
        return Log.open(
            self.directory,
            files=self.files,
            cipher=self.cipher,
            segment_bytes=segment_bytes,
            preallocate=self.preallocate,
            read_only=read_only,
        )

    def path(self, base: int, suffix: str = ".log") -> Path:
        return self.directory / f"{base:020}{suffix}"

    def get(self, path: Path) -> bytes:
        """All of a file."""
        file = self.files.open(path)
        return file.read(0, file.size())

    def put(self, path: Path, data: bytes) -> None:
        """Another content for a file, synced."""
        file = self.files.open(path, write=True)
        file.truncate(0)
        file.write(0, data)
        file.sync()

    def remove(self, path: Path) -> None:
        self.files.remove(path)
        self.files.sync_directory(path.parent)

    def segments(self) -> list[Path]:
        return [self.directory / name for name in self.files.names(self.directory) if name.endswith(".log")]


def make_batch(
    first: int,
    frames: Sequence[bytes] = (b"id: e_1\nevent: msg\ndata: {}\n\n",),
    *,
    time: int = 0,
    subjects: Sequence[bytes] = (),
    keyed: bool = False,
    client_ids: Sequence[tuple[int, int]] = (),
    expires: Sequence[int] = (),
    core: bool = False,
) -> Batch:
    """A batch of *frames*; *subjects* has one for each, or is empty if all have the same."""
    given = list(subjects) or [SUBJECT] * len(frames)
    distinct = tuple(dict.fromkeys(given))
    numbers = [distinct.index(subject) for subject in given]
    which: bytes | array[int] = b""
    if len(distinct) > 1:
        which = bytes(numbers) if len(distinct) <= 256 else array("H", numbers)
    lengths = array("I", map(len, frames))
    ends = array("q", expires) if expires else ()
    end = first + len(frames)
    return Batch(first, end, time, b"".join(frames), lengths, distinct, which, keyed, tuple(client_ids), ends, core)


def fill(log: Log, count: int, *, events: int = 1, size: int = 40, sync: bool = True) -> list[Batch]:
    """Appends *count* batches that are all different, a second an event, each synced unless told not to."""
    batches = []
    for _ in range(count):
        first = log.next
        frames = [f"{index:0{size}}".encode() for index in range(first, first + events)]
        batches.append(make_batch(first, frames, time=first * SECOND))
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
