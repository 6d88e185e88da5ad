"""The data directory: one server has it, and notices when it is taken away."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from bus.engine.embedded.data_directory import DataDirectory
from bus.errors import DirectoryLockedError, LogFailedError, StorageError


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    found = DataDirectory(tmp_path / "some" / "data")
    found.make()
    return found


def test_everything_has_its_place(directory: DataDirectory) -> None:
    directory.make()
    for name in ("orders", "app"):
        directory.log(name).mkdir()
    directory.consumers.touch()
    assert directory.namespaces() == ["app", "orders"]


def test_one_has_the_lock_and_the_other_is_told_who(directory: DataDirectory) -> None:
    lock = directory.lock()
    with pytest.raises(DirectoryLockedError, match=f"in use by process {os.getpid()}:"):
        directory.lock()
    lock.release()
    directory.lock().release()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="can't be made"):
        DataDirectory(tmp_path / "file" / "data").make()


@pytest.mark.parametrize("what", ["lock", "app"])
@pytest.mark.parametrize("replaced", [False, True])
def test_what_is_removed_or_replaced_is_noticed(directory: DataDirectory, what: str, replaced: bool) -> None:
    lock = directory.lock()
    directory.log("app").mkdir()
    lock.watch(directory.log("app"))
    assert lock.check() is None
    place = directory.path / what
    place.rename(directory.path / "elsewhere")
    if replaced:
        place.mkdir()
    trouble = lock.check()
    assert isinstance(trouble, LogFailedError)
    assert ("was replaced by another" if replaced else "is gone") in trouble.message
    if replaced:
        shutil.rmtree(place)
    (directory.path / "elsewhere").rename(place)
    assert lock.check() is None
    lock.release()
