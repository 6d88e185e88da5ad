"""Checking every byte of a data directory: its logs, its table of namespaces, its durable consumers and its scheduled
events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec

from bus.config import Secret
from bus.engine.embedded.data_directory import DataDirectory
from bus.engine.embedded.namespace_table import NamespaceTable
from bus.errors import StorageError, WrongKeyError
from bus.storage import CheckedSegment, Cipher, Damage, verify
from bus.transfer.consumer_positions import read_positions
from bus.transfer.scheduled_events import count_damaged, schedule_files


class Finding(msgspec.Struct):
    """Something that is damaged or missing; the events from ``first_index`` to ``last_index`` can't be read for it."""

    file: str
    offset: int
    what: str
    first_index: int | None = None
    last_index: int | None = None
    text: str = ""


class CheckSummary(msgspec.Struct):
    """What was checked, and how many findings there are; ``torn_bytes`` are of an append that never finished."""

    segments: int = 0
    events: int = 0
    bytes: int = 0
    torn_bytes: int = 0
    findings: int = 0

    def add(self, checked: CheckedSegment) -> None:
        self.segments += 1
        self.findings += len(checked.damage)
        self.torn_bytes += checked.torn.size if checked.torn else 0
        if checked.segment:
            self.events += checked.segment.next - checked.segment.first
            self.bytes += checked.segment.bytes


class DirectoryCheck:
    """One check of the *namespaces* in the directory *path*; ``summary`` grows with it.

    ``size`` is how many bytes there are to check.
    """

    def __init__(self, path: Path, namespaces: Sequence[str], *, cipher: Cipher | None, secret: Secret) -> None:
        directory = DataDirectory(path)
        self.summary = CheckSummary()
        self._directory = directory
        self._namespaces = namespaces
        self._logs = [directory.log(name) for name in namespaces]
        self.size = sum(file.stat().st_size for log in self._logs for file in log.glob("*.log"))
        self._cipher = cipher
        self._secret = secret

    def run(self, show: Callable[[int], object]) -> Iterator[Finding]:
        """What is damaged or missing; *show* is told how many bytes are checked. Raises `WrongKeyError`."""
        for log in self._logs:
            for checked in verify(log, cipher=self._cipher):
                self.summary.add(checked)
                yield from map(_finding, checked.damage)
                show(self.summary.bytes)
        yield from self._check(self._directory.table, self._check_table)
        yield from self._check(self._directory.consumers, self._check_consumers)
        with schedule_files(self._directory, self._namespaces) as files:
            for name, file in files.items():
                yield from self._check(self._directory.schedules(name), partial(self._check_schedules, file))

    def _check(self, file: Path, check: Callable[[], str]) -> Iterator[Finding]:
        """What *check* finds wrong with *file*, in words."""
        try:
            found = check()
        except WrongKeyError:
            raise
        except StorageError as error:
            found = error.message
        if found:
            yield Finding(str(file), 0, found, text=found)

    def _check_table(self) -> str:
        NamespaceTable(self._directory.table)
        return ""

    def _check_consumers(self) -> str:
        read_positions(self._directory.path, secret=self._secret)
        return ""

    def _check_schedules(self, file: Path) -> str:
        damaged = count_damaged(file, secret=self._secret)
        return f"{damaged} scheduled events are damaged and can't be read" if damaged else ""

    def __repr__(self) -> str:
        return f"<DirectoryCheck of {len(self._logs)} logs, {self.summary.findings} findings>"


def _finding(damage: Damage) -> Finding:
    found = Finding(str(damage.path), damage.offset, damage.what, text=str(damage))
    if damage.next > damage.first:
        found.first_index, found.last_index = damage.first, damage.next - 1
    return found
