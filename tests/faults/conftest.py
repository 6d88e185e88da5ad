"""Faults are put to Bus only when asked for by name (``pytest tests/faults``): many need root, and all take their time.

``FAULTS=short``, the default, takes a few rounds of each; ``FAULTS=full`` takes many. At the end stand the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.disks import LoopDisk, SmallDisk

Figure = Callable[[str, object], None]
_PREFIX = "figure: "


@pytest.fixture
def figure(record_property: Callable[[str, Any], None]) -> Figure:
    """Has a figure printed at the end of the run: what was counted, and the count."""
    return lambda name, value: record_property(_PREFIX + name, str(value))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    figures = sorted({pair for report in terminalreporter.getreports("passed") for pair in _figures(report)})
    if figures:
        terminalreporter.section("figures")
    for name, value in figures:
        terminalreporter.line(f"{name:<84} {value:>16}")


def _figures(report: pytest.TestReport) -> Iterator[tuple[str, str]]:
    for name, value in report.user_properties:
        if name.startswith(_PREFIX):
            yield name.removeprefix(_PREFIX), str(value)


@pytest.fixture
def loop_disk(tmp_path: Path) -> Iterator[LoopDisk]:
    """An ext4 file system of its own, whose power can be cut."""
    disk = LoopDisk(tmp_path / "disk")
    yield disk
    disk.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A file system of 4 MB."""
    disk = SmallDisk(tmp_path / "small", megabytes=4)
    yield disk
    disk.close()
