"""The table of subjects of an encrypted log: kept over restarts, readable by nobody without the key."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bus.engine.embedded.subjects.sealed import SEALED_FILE, SealedCopy
from bus.engine.embedded.subjects.store import SubjectStore
from bus.engine.embedded.subjects.table import SubjectTable
from bus.storage import Cipher, Log
from bus.storage.cipher import encrypted_size
from tests.engine.support import ManualLoop, batch

CIPHER = Cipher("a secret")
NUMBER = 45_000
PIECE = encrypted_size(1 << 20, 1 << 16)


@contextmanager
def opened(directory: Path, *, cipher: Cipher = CIPHER) -> Iterator[tuple[Log, SubjectTable, list[int]]]:
    """The log and its table; the list has where events were counted from when it was opened."""
    with ManualLoop() as loop, Log.open(directory, cipher=CIPHER) as log, pytest.MonkeyPatch.context() as patched:
        counted: list[int] = []
        read = Log.read

        def noted(log: Log, index: int, *limits: int, **most: int) -> object:
            counted.append(index)
            return read(log, index, *limits, **most)

        patched.setattr(Log, "read", noted)
        store = SubjectStore(None, sync=False, sealed=SealedCopy(directory / SEALED_FILE, cipher))
        table = SubjectTable("app", log, store, loop)
        table.open()
        loop.run_until_complete(table.settled())
        yield log, table, counted
        table.close()
        loop.run_until_complete(asyncio.sleep(0))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    with opened(tmp_path) as (log, table, _):
        stored = batch(1, [f"app.hidden.n{number}" for number in range(NUMBER)])
        log.append(stored)
        table.note([stored])
    return tmp_path


def test_it_is_not_counted_anew(directory: Path) -> None:
    with opened(directory) as (_, table, counted):
        assert (counted, table.events, table.last("app.hidden.n7")) == ([], NUMBER, 8)


def test_only_what_came_since_is_counted_after_a_crash(directory: Path) -> None:
    with opened(directory) as (log, table, _):
        kept = (directory / SEALED_FILE).read_bytes()
        log.append(stored := batch(log.next, ["app.hidden.n7"]))
        table.note([stored])
    (directory / SEALED_FILE).write_bytes(kept)
    with opened(directory) as (_, table, counted):
        assert (counted, table.events, table.last("app.hidden.n7")) == ([NUMBER + 1], NUMBER + 1, NUMBER + 1)


def test_nothing_of_it_is_readable(directory: Path) -> None:
    sealed = (directory / SEALED_FILE).read_bytes()
    assert len(sealed) > 2 * PIECE, "several pieces"
    assert not any(word in sealed for word in (b"hidden", b"SQLite", b"subject "))


def test_what_was_deleted_is_not_kept_in_it(directory: Path) -> None:
    with opened(directory) as (log, table, _):
        log.roll()
        rewritten = log.rewrite(log.segments[:1], lambda batch: {8})
        assert rewritten
        table.removing()
        assert log.replace(rewritten)
        log.finish(rewritten)
        table.rewritten(rewritten)
        table._loop.run_until_complete(table.settled())
        assert not (directory / SEALED_FILE).exists()
    with opened(directory) as (_, table, counted):
        assert (counted, table.events, table.last("app.hidden.n7")) == ([], NUMBER - 1, 0)


@pytest.mark.parametrize("harm", ["swapped", "cut", "flipped", "key", "empty", "link"])
def test_what_cannot_be_opened_is_counted_anew(directory: Path, harm: str) -> None:
    file, cipher = directory / SEALED_FILE, CIPHER
    sealed, half = bytearray(file.read_bytes()), 1 << 20
    match harm:
        case "swapped":
            head, first, second = sealed[:16], sealed[16 : 16 + PIECE], sealed[16 + PIECE : 16 + 2 * PIECE]
            sealed = head + second + first + sealed[16 + 2 * PIECE :]
        case "cut":
            del sealed[half:]
        case "flipped":
            sealed[half] ^= 1
        case "empty":
            sealed.clear()
        case "key":
            cipher = Cipher("another secret")
    file.write_bytes(sealed)
    if harm == "link":
        file.rename(directory / "elsewhere")
        file.symlink_to(directory / "elsewhere")
    with opened(directory, cipher=cipher) as (_, table, counted):
        assert counted and (table.events, table.last("app.hidden.n7")) == (NUMBER, 8)
