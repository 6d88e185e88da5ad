"""The page of figures: where Bus misses a goal or a peer is faster, it says why."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BEHIND = "## Goals that are missed, and peers that are faster\n"


def test_every_row_that_is_behind_has_a_reason() -> None:
    sections = re.split(r"^### ", PAGE.read_text().partition(BEHIND)[2], flags=re.M)[1:]
    assert sections
    for section in sections:
        title, *lines = section.splitlines()
        assert [line for line in lines if line and not line.startswith("- ")], title
