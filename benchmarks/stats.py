"""From samples to figures."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

Figures = dict[str, float]
"""What one measurement found: ``rate`` per second, latencies in milliseconds, processor shares in percent."""

_SHARES = {"p50": 50.0, "p99": 99.0, "p999": 99.9}


def percentile(ordered: Sequence[float], share: float) -> float:
    """The sample that *share* percent don't exceed, of samples in ascending order. Raises `ValueError` without any."""
    if not ordered:
        raise ValueError("no samples")
    return ordered[min(int(len(ordered) * share / 100), len(ordered) - 1)]


def latencies(seconds: Iterable[float]) -> Figures:
    """``p50``, ``p99`` and ``p999`` in milliseconds."""
    ordered = sorted(seconds)
    return {name: round(1000 * percentile(ordered, share), 4) for name, share in _SHARES.items()} if ordered else {}


def medians(rounds: Sequence[Figures]) -> Figures:
    """The median of each figure over the rounds that have it."""
    names = dict.fromkeys(name for figures in rounds for name in figures)
    return {name: statistics.median(figures[name] for figures in rounds if name in figures) for name in names}
