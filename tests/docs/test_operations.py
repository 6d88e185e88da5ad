"""docs/operations.md: its metrics and messages are those of the server, and each of its alerts comes when it should."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.docs.blocks import ROOT
from tests.support import PATIENCE, ServerProcess, request

PAGE = (ROOT / "docs" / "operations.md").read_text()
SOURCE = "".join(path.read_text() for path in (ROOT / "src" / "bus").rglob("*.py"))
SETUP = ROOT / "deploy" / "prometheus"
ALERTS = (SETUP / "alerts.yml").read_text()
CONSUMER = '{consumer="billing", namespace="orders"}'

# What is measured each minute, in promtool's notation: as it should be, and as each alert is about.
MEASURED = {
    'up{job="bus"}': ("1x120", "0x120"),
    "bus_writable": ("1x120", "0x120"),
    'node_filesystem_avail_bytes{mountpoint="/var/lib/bus"}': ("1000000x120", "1000000-1000x120"),
    "bus_connections": ("100x120", "19000x120"),
    f"bus_consumer_behind_events{CONSUMER}": ("0x120", "5000+10x120"),
    f"bus_consumer_connections{CONSUMER}": ("1x120", "0x120"),
    f"bus_consumer_dead_events{CONSUMER}": ("0x120", "0x110 1x10"),
}

SYSTEM_SAYS = "address already in use"

needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="promtool isn't installed")


def _promtool(*arguments: str | Path, stdin: bytes | None = None) -> None:
    done = subprocess.run(["promtool", *arguments], input=stdin, capture_output=True, timeout=PATIENCE)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


@pytest.mark.parametrize("name", ["prometheus.yml", "alerts.yml"])
def test_the_page_shows_the_file(name: str) -> None:
    assert f"```yaml\n{(SETUP / name).read_text()}```\n" in PAGE


def test_the_metrics_are_those_of_the_server(server: ServerProcess) -> None:
    served = re.findall(r"^# TYPE (bus_\w+)", request(server, "GET", "/metrics").text, re.MULTILINE)
    assert re.findall(r"^\| `(bus_\w+)` \|", PAGE, re.MULTILINE) == served
    assert set(re.findall(r"\bbus_\w+", ALERTS)) <= set(served)


def test_every_failure_that_is_not_the_callers_is_explained() -> None:
    listed = re.findall(r"^\| (5\d\d) \| `([a-z-]+)` \|", (ROOT / "docs" / "http-api.md").read_text(), re.MULTILINE)
    explained = re.findall(r"`(\d{3}) ([a-z-]+)`", PAGE)
    assert {code for _, code in set(listed) - set(explained)} == {
        "not-implemented", "not-supported", "version-not-supported", "unavailable",
    }  # fmt: skip


@pytest.mark.parametrize("heading", ["The server doesn't start", "The log of the server"])
def test_the_lines_are_those_of_the_server(heading: str) -> None:
    section = PAGE.partition(f"\n### {heading}\n")[2].partition("\n##")[0]
    lines = [
        line for row in re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE) for line in re.findall("`(.*?)`", row)
    ]
    assert len(lines) > 5
    for line in lines:
        for part in line.replace(SYSTEM_SAYS, "").split("…"):
            assert part.strip(" :;") in SOURCE, part


@needs_promtool
def test_the_setup_is_understood() -> None:
    _promtool("check", "config", SETUP / "prometheus.yml")


@needs_promtool
def test_the_setup_with_a_token_is_understood(tmp_path: Path) -> None:
    setup, token = (SETUP / "with-token.yml").read_text(), tmp_path / "grafana.token"
    assert f"```yaml\n{setup}```\n" in (ROOT / "docs" / "access.md").read_text()
    token.write_text("bus_x")
    (tmp_path / "prometheus.yml").write_text(setup.replace("/etc/prometheus/grafana.token", str(token)))
    _promtool("check", "config", tmp_path / "prometheus.yml")


@needs_promtool
def test_the_metrics_are_named_as_is_usual(server: ServerProcess) -> None:
    _promtool("check", "metrics", stdin=request(server, "GET", "/metrics").body)


@needs_promtool
@pytest.mark.parametrize("trouble", [False, True], ids=["quiet", "trouble"])
def test_each_alert_comes_when_it_should(trouble: bool, tmp_path: Path) -> None:
    expected = re.findall(r"- alert: (\w+)", ALERTS) if trouble else []
    samples = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in expected]
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps(_unit_test(samples, trouble=trouble)))
    _promtool("test", "rules", rules)


def _unit_test(samples: list[dict[str, Any]], *, trouble: bool) -> dict[str, Any]:
    """A file for ``promtool test rules``, which reads YAML and so JSON."""
    return {
        "rule_files": [str(SETUP / "alerts.yml")],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": both[trouble]} for name, both in MEASURED.items()],
                "promql_expr_test": [
                    {
                        "expr": 'count(ALERTS{alertstate="firing"}) by (alertname)',
                        "eval_time": "115m",
                        "exp_samples": samples,
                    }
                ],
            }
        ],
    }
