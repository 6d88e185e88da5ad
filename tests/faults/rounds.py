"""How much of everything: a few rounds for CI, many for who wants to know."""

from __future__ import annotations

import os

FULL = os.environ.get("FAULTS", "short") == "full"


def rounds(*, short: int, full: int) -> int:
    """*short* or *full*, as the run was asked to be."""
    return full if FULL else short
