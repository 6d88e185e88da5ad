"""The curves as small pictures that can be read on light and on dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import pyplot

from benchmarks.results import Point, Results

PLOTS = Path(__file__).parents[1] / "docs" / "benchmarks"
GREY = "#808080"
COLOURS = {
    "bus synced": "#009688",
    "bus unsynced": "#5c9ded",
    "nats synced": "#e08a00",
    "redis synced": "#d9534f",
}
AXES = {"publishers": "publishers", "subscribers": "subscribers", "size": "bytes of an event", "length": "events"}
RATES = {"subscribers": "deliveries/s", "size": "MB/s"}
STYLE: dict[Any, Any] = {
    "backend": "svg",
    "svg.fonttype": "none",
    "svg.hashsalt": "bus",
    "font.family": "sans-serif",
    "font.size": 8,
    "axes.edgecolor": GREY,
    "axes.labelcolor": GREY,
    "axes.titlecolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "text.color": GREY,
    "grid.color": GREY,
    "grid.alpha": 0.25,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def draw(results: Results, directory: Path = PLOTS) -> None:
    """Write a picture for each curve into *directory*."""
    directory.mkdir(exist_ok=True)
    with pyplot.rc_context(STYLE):
        for name, curve in results.curves.items():
            _draw(name, curve, directory / f"{name}.svg")


def _draw(name: str, curve: dict[str, list[Point]], path: Path) -> None:
    figure, panels = pyplot.subplots(1, 3, figsize=(9, 2.6), layout="constrained")
    rate = "megabytes" if name == "size" else "rate"
    for contender, points in curve.items():
        _plot(panels[0], points, rate, label=contender, color=COLOURS[contender])
    _middle(panels[1], name, curve)
    _load(panels[2], curve)
    panels[0].set_title(RATES.get(name, "events/s"))
    panels[0].set_yscale("log")
    for panel in panels:
        panel.set_xscale("log")
        panel.set_xlabel(AXES[name])
        panel.minorticks_off()
        panel.legend(fontsize=7)
    figure.savefig(path, transparent=True, metadata={"Date": None})
    pyplot.close(figure)


def _middle(panel: Any, name: str, curve: dict[str, list[Point]]) -> None:
    """Latencies of Bus; over the log's length, the time of starting."""
    bus = next(iter(curve.values()))
    if name == "length":
        panel.set_title("start-up, s")
        _plot(panel, bus, "start", label="start-up", color=COLOURS["bus synced"])
        panel.set_ylim(bottom=0)
        return
    panel.set_title("latency of Bus, ms")
    panel.set_yscale("log")
    for figure, label, alpha in (("p50", "p50", 1.0), ("p99", "p99", 0.65), ("p999", "p99.9", 0.35)):
        _plot(panel, bus, figure, label=label, color=COLOURS["bus synced"], alpha=alpha)


def _load(panel: Any, curve: dict[str, list[Point]]) -> None:
    bus = next(iter(curve.values()))
    panel.set_title("Bus: CPU % and memory, MB")
    _plot(panel, bus, "server_cpu", label="CPU %", color=COLOURS["bus synced"])
    _plot(panel, bus, "rss", label="memory, MB", color=COLOURS["redis synced"])
    panel.set_ylim(bottom=0)


def _plot(panel: Any, points: Sequence[Point], figure: str, **style: Any) -> None:
    known = [point for point in points if figure in point.figures]
    panel.plot([point.x for point in known], [point.figures[figure] for point in known], marker="o", ms=3, **style)
