"""The raw figures of a run, as they are kept beside the page."""

from __future__ import annotations

from pathlib import Path

import msgspec

from benchmarks.stats import Figures, medians

RESULTS = Path(__file__).with_name("results.json")


class Measured(msgspec.Struct, omit_defaults=True):
    """What one contender did: a figure set for each round, or why there is none."""

    rounds: list[Figures] = []
    failed: str = ""

    @property
    def figures(self) -> Figures:
        """The medians."""
        return medians(self.rounds)


class Point(msgspec.Struct):
    """One point of a curve."""

    x: int
    figures: Figures


class Cost(msgspec.Struct):
    """What something costs as work grows, and the most it should."""

    key: str
    title: str
    value: float
    unit: str
    most: float

    @property
    def reached(self) -> bool:
        return self.value <= self.most


class Results(msgspec.Struct):
    """One run."""

    date: str
    command: str
    machine: dict[str, str]
    fdatasync: float
    versions: dict[str, str]
    rounds: int
    quick: bool
    rows: dict[str, dict[str, Measured]]
    curves: dict[str, dict[str, list[Point]]]
    costs: list[Cost]


def load(path: Path) -> Results:
    """Read what `save` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Results)


def save(results: Results, path: Path) -> None:
    """Write *results* as JSON for people to read too."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
