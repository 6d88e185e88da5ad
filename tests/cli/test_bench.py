"""``bus bench``: that it measures, not what; how fast a server is says more about the machine."""

from __future__ import annotations

import json

import pytest

from bus.cli.bench import histogram
from tests.cli.stored import delivered, on_a_terminal, running
from tests.support import ServerProcess, run_bus, subscribe

SHORT = ["--subject", "app.bench", "--seconds", "1m", "--events", "50", "--connections", "4"]


@pytest.mark.parametrize("work", ["publish", "subscribe", "request"])
def test_every_kind_of_work_is_measured(server: ServerProcess, work: str) -> None:
    answer = run_bus("bench", work, *SHORT, "--host", server.url)
    assert (answer.returncode, answer.stderr) == (0, b"")
    result = json.loads(answer.stdout)
    assert (result["work"], result["connections"]) == (work, 4)
    assert result["events"] >= 50 and result["events_per_second"] > 0
    latencies = list(result["latency_ms"].values())
    assert len(latencies) == 5 and latencies == sorted(latencies) and latencies[0] > 0


def test_what_is_counted_is_stored(server: ServerProcess) -> None:
    result = json.loads(run_bus("bench", "publish", *SHORT, "--batch", "7", "--host", server.url).stdout)
    stored = delivered(server, "app").count(b"\n")
    assert result["events"] % 7 == 0
    assert result["events"] <= stored


def test_payloads_have_the_size_that_was_asked_for(server: ServerProcess) -> None:
    run_bus("bench", "publish", *SHORT, "--size", "1000", "--host", server.url)
    line, *_ = delivered(server, "app").splitlines()
    assert len(json.dumps(json.loads(line)["payload"], separators=(",", ":"))) == 1000


def test_a_terminal_gets_percentiles_and_bars(server: ServerProcess) -> None:
    shown = on_a_terminal("bench", "publish", *SHORT, "--host", server.url)
    assert "p50 " in shown and "p99.9 " in shown and "█" in shown


def test_how_latencies_are_spread() -> None:
    assert histogram([]) == []
    assert [line.split()[:3] for line in histogram([1e-6, 3e-6, 3e-6, 0.0011])][:3] == [
        ["1", "µs", "25.0%"],
        ["2", "µs", "0.0%"],
        ["4", "µs", "50.0%"],
    ]
    assert histogram([0.0011])[0].split()[:2] == ["2.05", "ms"]


@pytest.mark.parametrize("work", ["publish", "subscribe", "request"])
@pytest.mark.parametrize(
    ("args", "line", "status"),
    [
        (["--subject", "nowhere.a"], "bus: namespace 'nowhere' is not declared", 1),
        (["--subject", "app.*"], "bus: subject 'app.*' has a wildcard", 1),
        (["--subject", "app.a", "--host", "http://127.0.0.1:1"], "bus: can't reach http://127.0.0.1:1", 1),
        ([], "bus: --subject is required; see bus bench --help", 2),
    ],
)
def test_mistakes_are_one_line(bus: ServerProcess, work: str, args: list[str], line: str, status: int) -> None:
    answer = run_bus("bench", work, *args, env={"BUS_HOST": bus.url})
    assert answer.stderr.decode().startswith(line) and answer.stderr.count(b"\n") == 1
    assert answer.returncode == status


def test_a_server_that_goes_away_is_one_line(server: ServerProcess) -> None:
    with (
        subscribe(server, "app.bench") as stream,
        # With more of them, some may still be connecting when the first event is here.
        running("bench", "publish", *SHORT[:2], "--seconds", "1h", "--connections", "1", "--host", server.url) as bench,
    ):
        stream.take(1)
        server.kill()
        assert bench.wait() == 1
        assert bench.stderr is not None
        assert bench.stderr.read().startswith(b"bus: the server closed a connection")
