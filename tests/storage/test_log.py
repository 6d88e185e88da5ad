"""A log on disk, in memory, plain and sealed: what goes in comes out, and is found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from bus.storage import DISK, Cipher, FileSystem, Log, MemoryFiles

from .support import content, fill


@dataclass(frozen=True)
class Place:
    """Where a log is kept, to open it again and again."""

    directory: Path
    files: FileSystem
    cipher: Cipher | None

    def open(self, *, segment_bytes: int = 4096, read_only: bool = False) -> Log:
        return Log.open(
            self.directory,
            files=self.files,
            cipher=self.cipher,
            segment_bytes=segment_bytes,
            read_only=read_only,
        )


@pytest.fixture(params=["disk", "memory", "sealed disk", "sealed memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    cipher = Cipher("secret", block_size=64) if "sealed" in request.param else None
    return Place(tmp_path / "app", DISK if "disk" in request.param else MemoryFiles(), cipher)


def test_an_empty_log_has_nothing_to_read(place: Place) -> None:
    with place.open() as log:
        assert (log.first, log.next, log.time, log.size, log.segments) == (1, 1, 0, 0, ())
        assert log.read(1) == []
        assert log.find_time(0) == 1
        assert log.find_foreign(7) == []
        assert list(log.keyed_batches()) == []


@pytest.mark.parametrize("events", [1, 7])
@pytest.mark.parametrize("limit", [1, 1000, 1 << 20])
def test_what_is_appended_is_read_back_over_segments_and_restarts(place: Place, events: int, limit: int) -> None:
    with place.open() as log:
        batches = fill(log, 100, events=events)
        assert content(log, limit=limit) == batches
        assert len(log.segments) > 2
    with place.open() as log:
        assert content(log, limit=limit) == batches
        batches += fill(log, 10)
        assert content(log, limit=limit) == batches
        assert log.damage == ()
        assert log.torn is None


def test_every_event_can_be_read_by_its_index(place: Place) -> None:
    with place.open() as log:
        batches = fill(log, 50, events=3)
        for batch in batches:
            for index in range(batch.first, batch.next):
                assert log.read(index)[0] == batch
