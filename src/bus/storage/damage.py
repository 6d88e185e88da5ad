"""What can be wrong with a log, as values: damage, which is kept and named, and a torn tail, which is cut."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bus.errors import CorruptLogError


@dataclass(frozen=True, slots=True)
class Damage:
    """Something stored is not what was written, or is missing.

    Parameters:
        path: the file.
        offset: where in it, in bytes.
        first: index of the first event that can't be read for it.
        next: index of the first event after those; equal to ``first`` if no event is lost.
        what: what is wrong, in a few words.
        last: nothing follows that would tell how many events it costs; ``next`` is then ``first``.
    """

    path: Path
    offset: int
    first: int
    next: int
    what: str
    last: bool = False

    def __str__(self) -> str:
        return f"{self.path} at byte {self.offset}: {self.what}; {self._loss()}"

    def _loss(self) -> str:
        if self.last:
            return f"events from {self.first} on can't be read"
        if self.next <= self.first:
            return "no event is lost"
        if self.next == self.first + 1:
            return f"event {self.first} can't be read"
        return f"events {self.first} to {self.next - 1} can't be read"


@dataclass(frozen=True, slots=True)
class Torn:
    """An append that a crash interrupted, before anything of it was acknowledged: cut off at opening.

    Parameters:
        path: the file.
        offset: its size after the cut.
        size: how many bytes were cut off.
    """

    path: Path
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.path}: cut off {self.size} bytes at byte {self.offset}, an append that never finished"


class DamagedLogError(CorruptLogError):
    """The events asked for are damaged; ``damage`` says which, and reading can go on at ``damage.next``."""

    def __init__(self, damage: Damage) -> None:
        super().__init__(f"{damage}: restore the file from a copy, or read on at {damage.next}")
        self.damage = damage
