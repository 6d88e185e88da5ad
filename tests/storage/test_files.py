"""The file systems do what the log asks of them, and the doubles forget what they should."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from bus.storage import DISK, DiskFiles, FileSystem, MemoryFiles
from tests.storage.forgetful import ForgetfulFiles

Write = tuple[int, int]


@pytest.fixture(params=[DiskFiles, MemoryFiles, ForgetfulFiles])
def files(request: pytest.FixtureRequest) -> FileSystem:
    made: FileSystem = request.param()
    return made


def test_a_file_keeps_what_is_written_where_it_is_written(files: FileSystem, tmp_path: Path) -> None:
    files.make_directory(tmp_path / "a" / "b")
    files.make_directory(tmp_path / "a" / "b")
    path = tmp_path / "a" / "b" / "file"
    file = files.create(path)
    file.write(0, b"hello")
    file.write(8, b"world")
    file.sync()
    assert files.open(path).read(0, 100) == b"hello\0\0\0world"
    assert files.open(path, write=True).read(2, 3) == b"llo"
    assert (file.read(13, 5), file.size()) == (b"", 13)
    file.truncate(4)
    assert (file.read(0, 100), file.size()) == (b"hell", 4)
    file.close()
    file.close()


def test_names_come_and_go(files: FileSystem, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.names(tmp_path / "none")
    files.make_directory(tmp_path)
    for name in ("b", "a"):
        files.create(tmp_path / name)
    assert files.names(tmp_path) == ["a", "b"]
    files.create(tmp_path / "c").write(0, b"c")
    files.rename(tmp_path / "c", tmp_path / "a")
    assert files.names(tmp_path) == ["a", "b"]
    assert files.open(tmp_path / "a").read(0, 9) == b"c"
    files.remove(tmp_path / "b")
    files.sync_directory(tmp_path)
    assert files.names(tmp_path) == ["a"]
    with pytest.raises(FileExistsError):
        files.create(tmp_path / "a")
    for missing in (files.open, files.remove):
        with pytest.raises(FileNotFoundError):
            missing(tmp_path / "b")


def test_a_file_closes_with_its_last_reference(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        DISK.create(tmp_path / "file")
        DISK.remove(tmp_path / "file")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.fixture
def lying_disk(monkeypatch: pytest.MonkeyPatch) -> list[Write]:
    """A disk whose first write claims five bytes and does nothing; the list is filled with all writes."""
    real, writes = os.pwrite, list[Write]()

    def pwrite(fd: int, data: bytes, offset: int) -> int:
        writes.append((offset, len(data)))
        return 5 if len(writes) == 1 else real(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    return writes


def test_a_short_write_is_repeated_whole(tmp_path: Path, lying_disk: list[Write]) -> None:
    file = DISK.create(tmp_path / "file")
    file.write(0, b"hello world")
    assert file.read(0, 20) == b"hello world"
    assert lying_disk == [(0, 11), (0, 11)]


def test_a_write_that_stays_short_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: real(fd, data[:4], offset))
    file = DISK.create(tmp_path / "file")
    file.write(3, b"hello world")
    assert file.read(3, 20) == b"hello world"


def test_a_short_read_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pread
    file = DISK.create(tmp_path / "file")
    file.write(0, b"hello world")
    monkeypatch.setattr(os, "pread", lambda fd, size, offset: real(fd, min(size, 3), offset))
    assert file.read(0, 11) == b"hello world"
    assert file.read(6, 100) == b"world"


HOME = Path("/home")


def forgetful() -> ForgetfulFiles:
    files = ForgetfulFiles()
    files.make_directory(HOME)
    return files


def test_a_crash_forgets_names_until_the_directory_is_synced() -> None:
    files = forgetful()
    files.create(HOME / "file").sync()
    assert files.crash().names(HOME) == []
    files.sync_directory(HOME)
    assert files.crash().names(HOME) == ["file"]
    files.rename(HOME / "file", HOME / "other")
    assert files.crash().names(HOME) == ["file"]
    files.remove(HOME / "other")
    assert files.crash(lambda: True).names(HOME) == []
    assert files.names(HOME) == []


def test_a_crash_forgets_content_until_the_file_is_synced() -> None:
    files = forgetful()
    file = files.create(HOME / "file")
    files.sync_directory(HOME)
    file.write(0, b"hello")
    assert files.crash().open(HOME / "file").read(0, 9) == b""
    assert files.crash(lambda: True).open(HOME / "file").read(0, 9) == b"hello"
    file.sync()
    file.truncate(2)
    assert files.crash().open(HOME / "file").read(0, 9) == b"hello"
    assert files.crash(lambda: True).open(HOME / "file").read(0, 9) == b"he"


def test_a_crash_keeps_sectors_in_any_combination() -> None:
    files = forgetful()
    file = files.create(HOME / "file")
    files.sync_directory(HOME)
    file.write(500, b"x" * 1000)
    choose = random.Random(1)
    kept = {files.crash(lambda: choose.random() < 0.5).open(HOME / "file").read(0, 2000) for _ in range(200)}
    assert len(kept) == 8
    assert {len(data) for data in kept} == {0, 512, 1024, 1500}
