"""The page of figures says what the raw figures say, and names what could not be measured."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from benchmarks.page import PAGE, page
from benchmarks.results import RESULTS, Measured, load
from benchmarks.servers import PeerError, free_port, serving
from benchmarks.stats import latencies, medians, percentile


def test_the_page_is_made_of_the_raw_figures() -> None:
    assert PAGE.read_text() == page(load(RESULTS)), "make bench BENCH=--page-only writes it anew"


def test_a_peer_that_could_not_run_is_named_with_its_reason() -> None:
    results = load(RESULTS)
    failed = Measured(failed="could not run: nats-server: No such file or directory")
    rows = {"publish-1": results.rows["publish-1"] | {"nats synced": failed}}
    (line,) = (each for each in page(msgspec.structs.replace(results, rows=rows)).splitlines() if failed.failed in each)
    assert line.startswith("| publish, 1 publisher that waits for each | synced |")


def test_a_server_that_is_not_installed_says_so(tmp_path: Path) -> None:
    missing = serving(["/no/server"], free_port(), tmp_path)
    with pytest.raises(PeerError, match="could not run: /no/server: No such file"), missing:
        pass


def test_a_server_that_ends_at_once_says_its_last_line(tmp_path: Path) -> None:
    ending = serving(["sh", "-c", "echo starting; echo no licence; exit 1"], free_port(), tmp_path)
    with pytest.raises(PeerError, match="could not run: no licence"), ending:
        pass


def test_percentiles_are_samples() -> None:
    samples = [float(number) for number in range(1, 101)]
    assert [percentile(samples, share) for share in (0, 50, 99, 100)] == [1.0, 51.0, 100.0, 100.0]
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 50)


def test_latencies_are_in_milliseconds() -> None:
    assert latencies([0.001, 0.002, 0.003]) == {"p50": 2.0, "p99": 3.0, "p999": 3.0}
    assert latencies([]) == {}


def test_a_median_is_of_the_rounds_that_have_the_figure() -> None:
    assert medians([{"rate": 3.0}, {"rate": 1.0, "p50": 7.0}, {"rate": 2.0}]) == {"rate": 2.0, "p50": 7.0}
