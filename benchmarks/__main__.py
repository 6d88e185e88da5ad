"""``python -m benchmarks``: measure, and write the page."""

from __future__ import annotations

import resource
import statistics
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from benchmarks import machine, page, plots, run
from benchmarks.page import PAGE
from benchmarks.results import RESULTS, Results, load, save
from benchmarks.rows import table

SECONDS = 2.0
ROUNDS = 3


@click.command()
@click.option("--rows", "keys", metavar="KEYS", help="Measure these rows only, like publish-1,replay; write nothing.")
@click.option("--rounds", type=click.IntRange(1), help=f"Rounds, of which the medians are shown.  [{ROUNDS}, quick: 1]")
@click.option("--quick", is_flag=True, help="Shorter work: a few minutes, and figures that are rougher.")
@click.option("--page-only", is_flag=True, help="Write the page and its plots from the figures of the last run.")
@click.option("--directory", type=click.Path(path_type=Path), help="Where servers store, on the disk to be measured.")
def main(keys: str | None, rounds: int | None, quick: bool, page_only: bool, directory: Path | None) -> None:
    """Measure Bus beside its peers and write docs/benchmarks.md."""
    if page_only:
        _write(load(RESULTS))
        return
    _allow_connections()
    plan = run.Plan(rounds or (1 if quick else ROUNDS), SECONDS / 2 if quick else SECONDS, quick, directory)
    if keys is None:
        results = _measure(plan)
        save(results, RESULTS)
        _write(results)
        return
    chosen = [row for row in table(quick=quick) if row.key in keys.split(",")]
    if not chosen:
        raise click.BadParameter(f"no such row; there are {', '.join(row.key for row in table())}")
    run.measure_rows(chosen, plan, click.echo)


def _measure(plan: run.Plan) -> Results:
    results = Results(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        command=" ".join(["python -m benchmarks", *sys.argv[1:]]),
        machine=machine.machine(plan.directory),
        fdatasync=machine.fdatasync_seconds(plan.directory),
        versions=run.versions(plan) | machine.tools(),
        rounds=plan.rounds,
        quick=plan.quick,
        rows=run.measure_rows(table(quick=plan.quick), plan, click.echo),
        curves=run.measure_curves(plan, click.echo),
        costs=[],
    )
    results.fdatasync = statistics.mean([results.fdatasync, machine.fdatasync_seconds(plan.directory)])
    results.costs = run.measure_costs(plan, results.curves["length"], click.echo)
    return results


def _write(results: Results) -> None:
    PAGE.write_text(page.page(results))
    plots.draw(results)
    click.echo(f"wrote {PAGE}")


def _allow_connections() -> None:
    """Allow as many connections as the system does; the servers inherit it."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    main()
