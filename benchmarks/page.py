"""The page that says what was measured, made from the raw figures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.results import Cost, Measured, Results
from benchmarks.rows import SMALLER_IS_BETTER, Row, table

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
NOTES = Path(__file__).with_name("notes.md")

_INTRODUCTION = """\
# Benchmarks

Bus beside NATS JetStream and Redis Streams: the same work, in turn, on one machine, in one run. The load runs on the
same machine and shares its processors, so ratios mean something and absolute figures little.

<!-- not run: takes half an hour and installs servers -->
```bash
make bench                    # as root on Debian; sets up everything and writes this page
make bench BENCH=--quick      # a few minutes
make bench BENCH="--rows publish-1,replay --rounds 1"   # some rows, printed only
```

**Synced** is on disk before the answer: Bus with `--fsync always`, JetStream with `sync_interval: always`, Redis with
`appendfsync always`. **Unsynced** is Bus with `--fsync never`, JetStream and Redis as they come with an append-only
file (every two minutes, every second). Events have 83 bytes. Figures are medians. Publishers that wait are driven by
wrk (Bus), redis-benchmark (Redis) and a loop over raw sockets (NATS, for which Debian and PyPI have no such tool);
everything else but the Python clients by raw sockets that count events, so that no client is measured instead of a
server. The share of a processor that server and load used is in `benchmarks/results.json` for each figure.

Bus is compiled, as its wheels and images are; `python -m benchmarks` measures a checkout as it is. It and the Python
clients run on the Python named below. Debian's is built with profile-guided optimisation; one that
isn't, as pyenv builds it unless told otherwise, makes Bus about a fifth slower. Choose one with
`make bench PYTHON=/usr/bin/python3 VENV=.venv-bench`.
"""

_CURVES = {
    "publishers": ("Publishers", "Publishers that wait for each answer."),
    "subscribers": (
        "Subscribers",
        "Deliveries per second of a burst, and the time from publishing one event until the last subscriber has it.",
    ),
    "size": ("Size of an event", "Eight publishers that wait, driven by the same raw sockets for all."),
    "length": ("Length of the log", "Replay from the start, and memory, of a server started on a log so long."),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table: a figure of a row at a durability."""

    row: Row
    figure: str
    synced: bool
    cells: dict[str, Measured]
    sync: float

    def name(self, peer: str) -> str:
        """What the contender is called in the raw figures."""
        return f"{peer} {'synced' if self.synced else 'unsynced'}"

    def value(self, peer: str) -> float | None:
        """The median of *peer*, None if there is none."""
        name = self.name(peer)
        return self.cells[name].figures.get(self.figure) if name in self.cells else None

    @property
    def best(self) -> float:
        """The best peer's figure, 0 if no peer has one."""
        values = [value for peer in ("nats", "redis") if (value := self.value(peer)) is not None]
        return (min if self.figure in SMALLER_IS_BETTER else max)(values, default=0.0)

    @property
    def ratio(self) -> float | None:
        """How many times better than the best peer Bus is."""
        own = self.value("bus")
        if not own or not self.best:
            return None
        return self.best / own if self.figure in SMALLER_IS_BETTER else own / self.best

    @property
    def goal(self) -> float | None:
        goal = self.row.goals.get((self.figure, self.synced))
        return goal(self.sync, self.best) if goal else None

    @property
    def missed(self) -> bool:
        """Whether there is a goal that Bus doesn't reach."""
        own, goal = self.value("bus"), self.goal
        if goal is None:
            return False
        return own is None or (own > goal if self.figure in SMALLER_IS_BETTER else own < goal)

    @property
    def behind(self) -> bool:
        """Whether a goal is missed or a peer is faster."""
        return self.missed or (self.ratio is not None and self.ratio < 1)


def lines(results: Results) -> list[Line]:
    """The table's lines, for the rows that were measured."""
    return [
        Line(row, figure, synced, results.rows[row.key], results.fdatasync)
        for row in table()
        if row.key in results.rows
        for figure in row.figures
        for synced in row.syncs
    ]


def page(results: Results) -> str:
    """The whole page as Markdown."""
    sections = [_setting, _table, _clients, _nats_clients, _costs, _curves, _missed]
    parts = [_INTRODUCTION, *filter(None, (section(results) for section in sections))]
    return "\n".join(part.strip("\n") + "\n" for part in parts)


def _setting(results: Results) -> str:
    facts = results.machine | {"one fdatasync": f"{1e6 * results.fdatasync:.0f} µs"}
    rows = [f"| {name} | {value} |" for name, value in (facts | results.versions).items()]
    amount = f"{results.rounds} round{'s' * (results.rounds > 1)}"
    amount += " of short work, so that the figures are rough" if results.quick else ""
    head = f"## The run\n\n{results.date}, `{results.command}`, {amount}.\n\n| | |\n|---|---|"
    return "\n".join([head, *rows])


def _table(results: Results) -> str:
    head = "## Side by side\n\n| work | | Bus | JetStream | Redis | Bus to the best peer | goal | reached |\n"
    return head + "|---|---|---|---|---|---|---|---|\n" + "\n".join(_line(line) for line in lines(results))


def _line(line: Line) -> str:
    cells = [_cell(line, peer) for peer in ("bus", "nats", "redis")]
    ratio = f"{line.ratio:.2g}×" if line.ratio else "–"
    goal = "–" if line.goal is None else _figure(line.figure, line.goal)
    reached = "–" if line.goal is None else ("**no**" if line.missed else "yes")
    title = line.row.title + ("" if line.figure == "rate" else f", {line.figure}")
    synced = "synced" if line.synced else "unsynced"
    return f"| {title} | {synced} | {' | '.join(cells)} | {ratio} | {goal} | {reached} |"


def _cell(line: Line, peer: str) -> str:
    value = line.value(peer)
    if value is not None:
        return _figure(line.figure, value)
    name = line.name(peer)
    return line.cells[name].failed.replace("|", "/") if name in line.cells else "–"


def _figure(figure: str, value: float) -> str:
    if figure in SMALLER_IS_BETTER:
        return f"{value:.3g} ms"
    rounded = round(value, -max(len(str(int(value))) - 3, 0))
    return f"{rounded:,.0f}/s"


def _clients(results: Results) -> str:
    """What the processors do for an event of the Python clients."""
    head = (
        "### What an event costs with the Python clients\n\nMicroseconds of a processor for each event, "
        "in the program that uses the client and in the server.\n\n"
        "| work | | Bus: client, server | nats-py: client, server | redis-py: client, server |\n|---|---|---|---|---|"
    )
    own = [line for line in lines(results) if line.row.key.startswith("client-")]
    return "\n".join([head, *map(_efforts, own)])


def _efforts(line: Line) -> str:
    cells = [_effort(line.cells.get(line.name(peer))) for peer in ("bus", "nats", "redis")]
    return f"| {line.row.title} | {'synced' if line.synced else 'unsynced'} | {' | '.join(cells)} |"


def _nats_clients(results: Results) -> str:
    """What the processors do for an event of JetStream, for the client of NATS that is in Bus and for nats-py."""
    own = [line for line in lines(results) if line.row.key.startswith("nats-")]
    if not own:
        return ""
    head = (
        "### What an event of JetStream costs its clients\n\nMicroseconds of a processor for each event, in the "
        "program and in nats-server.\n\n| work | program, nats-server |\n|---|---|"
    )
    return "\n".join([head, *(f"| {line.row.title} | {_effort(line.cells.get(line.name('nats')))} |" for line in own)])


def _effort(measured: Measured | None) -> str:
    if measured is None or not measured.rounds:
        return "–"
    return f"{measured.figures['load_us']:.3g}, {measured.figures['server_us']:.3g} µs"


def _costs(results: Results) -> str:
    rows = [_cost(cost) for cost in results.costs]
    return "\n".join(["## As work grows\n\n| what | Bus | at most | reached |\n|---|---|---|---|", *rows])


def _cost(cost: Cost) -> str:
    reached = "yes" if cost.reached else "**no**"
    return f"| {cost.title} | {cost.value:,.3g} {cost.unit} | {cost.most:,.3g} {cost.unit} | {reached} |"


def _curves(results: Results) -> str:
    parts = [
        f"### {title}\n\n{text}\n\n![{title}](benchmarks/{name}.svg)\n"
        for name, (title, text) in _CURVES.items()
        if name in results.curves
    ]
    return "## Curves\n\n" + "\n".join(parts)


def _missed(results: Results) -> str:
    notes = _notes(NOTES.read_text())
    behind = [line for line in lines(results) if line.behind]
    rows = {line.row.key: line.row for line in behind}
    parts = [
        "\n\n".join([f"### {_sentence(row.title)}", _shares(behind, key), notes.get(key, "")]).strip()
        for key, row in rows.items()
    ]
    parts += [
        f"### {_sentence(cost.title)}\n\n{notes.get(cost.key, '')}".strip()
        for cost in results.costs
        if not cost.reached
    ]
    return "## Goals that are missed, and peers that are faster\n\n" + "\n\n".join(parts or ["None."])


def _sentence(title: str) -> str:
    return title[0].upper() + title[1:]


def _shares(behind: Sequence[Line], key: str) -> str:
    """Who used the processors while the row was measured, for each durability where Bus is behind."""
    found = {line.synced: line.cells[line.name("bus")].figures for line in behind if line.row.key == key}
    return "\n".join(
        f"- {'Synced' if synced else 'Unsynced'}: the server used {figures['server_cpu']:.0f} % of a processor, "
        f"{figures['server_us']:.3g} µs for each event; the load {figures['load_cpu']:.0f} %."
        for synced, figures in found.items()
        if figures
    )


def _notes(text: str) -> dict[str, str]:
    return dict(_sections(text))


def _sections(text: str) -> Iterator[tuple[str, str]]:
    """The sections of *text* by their headings, which are the keys of rows."""
    for found in re.finditer(r"^## (\S+)\n(.*?)(?=^## |\Z)", text, re.M | re.S):
        yield found[1], found[2].strip()
