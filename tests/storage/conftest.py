"""The places the storage tests keep a log in."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus.storage import DISK, Cipher, MemoryFiles

from .support import Place


@pytest.fixture(params=["plain", "encrypted"])
def cipher(request: pytest.FixtureRequest) -> Cipher | None:
    """No key, and a key with blocks so small that every batch has several."""
    return Cipher("secret", block_size=64) if request.param == "encrypted" else None


@pytest.fixture(params=["disk", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path, cipher: Cipher | None) -> Place:
    """A log on disk, with zeros preallocated, and in memory without; plain and encrypted."""
    on_disk = request.param == "disk"
    return Place(DISK if on_disk else MemoryFiles(), tmp_path / "app", cipher, preallocate=on_disk)


@pytest.fixture(params=["grows", "preallocates"])
def preallocate(request: pytest.FixtureRequest) -> bool:
    """Whether zeros are kept behind the last batch."""
    return bool(request.param == "preallocates")


@pytest.fixture
def memory(cipher: Cipher | None) -> Place:
    """A log in memory, plain and encrypted."""
    return Place(MemoryFiles(), cipher=cipher)
