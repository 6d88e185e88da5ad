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
    """A log on disk and in memory, plain and encrypted."""
    files = DISK if request.param == "disk" else MemoryFiles()
    return Place(files, tmp_path / "app", cipher)


@pytest.fixture
def memory(cipher: Cipher | None) -> Place:
    """A log in memory, plain and encrypted."""
    return Place(MemoryFiles(), cipher=cipher)
