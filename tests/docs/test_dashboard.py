"""deploy/grafana/bus.json: a Prometheus that scrapes a server has an answer to each of the dashboard's questions."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from socket import create_server
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.docs.blocks import ROOT
from tests.server.support import acknowledge, publish, stored
from tests.support import PATIENCE, ServerProcess, request, subscribe

DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "bus.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUESTIONS = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
SETUP = """
global: {{scrape_interval: 200ms}}
scrape_configs:
  - job_name: bus
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""

Ask = Callable[[str], list[dict[str, Any]]]

pytestmark = pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus isn't installed")


def _free_port() -> int:
    with create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory, bus: ServerProcess) -> Iterator[Ask]:
    """What Prometheus answers to a question, some scrapes after all that is counted has happened twice."""
    path, port = tmp_path_factory.mktemp("prometheus"), _free_port()
    (path / "prometheus.yml").write_text(SETUP.format(port=bus.port))
    with subprocess.Popen(_prometheus(path, port), stderr=subprocess.DEVNULL) as process:
        try:
            _until(lambda: _query(port, 'up{job="bus"} == 1'))
            for _ in range(2):
                before = _scrapes(port)
                _have_everything_happen(bus)
                _until(partial(_has_scraped, port, before + 2))
            yield lambda question: _query(port, question)
        finally:
            process.terminate()


def _prometheus(path: Path, port: int) -> list[str]:
    return [
        "prometheus", f"--config.file={path / 'prometheus.yml'}", f"--storage.tsdb.path={path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
    ]  # fmt: skip


def _have_everything_happen(server: ServerProcess) -> None:
    with subscribe(server, "app.>") as live, subscribe(server, "app.a", ack="manual", consumer="billing") as consumer:
        event_id = stored(server, "app.a")
        live.take(1), consumer.take(1)
        consumer_id = consumer.headers["x-bus-consumer-id"]
        assert acknowledge(server, consumer_id, event_id, action="nack").status == 202
        consumer.take(1)
        assert acknowledge(server, consumer_id, event_id).status == 202
    assert publish(server, "nowhere.a").status == 404


def _query(port: int, question: str) -> list[dict[str, Any]]:
    try:
        with closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
            connection.request("GET", f"/api/v1/query?{urlencode({'query': question})}")
            response = connection.getresponse()
            body = response.read()
    except OSError:
        return []  # it is about to start
    if response.status == 503:
        return []  # it has yet to read its own files
    answer = json.loads(body)
    assert answer["status"] == "success", answer
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found


def _scrapes(port: int) -> float:
    found = _query(port, 'count_over_time(up{job="bus"}[1h])')
    return float(found[0]["value"][1]) if found else 0


def _has_scraped(port: int, often: float) -> bool:
    return _scrapes(port) > often


def _until(true: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "Prometheus didn't come so far"
        time.sleep(0.05)


@pytest.mark.parametrize(("title", "question"), QUESTIONS)
def test_every_question_has_an_answer(ask: Ask, title: str, question: str) -> None:
    for variable, value in {"$instance": ".*", "$namespace": ".*", "$__rate_interval": "1m"}.items():
        question = question.replace(variable, value)
    assert "$" not in question, title
    answers = ask(question)
    assert answers, title
    assert all(answer["value"][1] != "NaN" for answer in answers), title


def test_it_shows_no_less_than_there_is_to_look_after(bus: ServerProcess) -> None:
    asked = " ".join(question for _, question in QUESTIONS)
    served = re.findall(r"^# TYPE (bus_\w+)", request(bus, "GET", "/metrics").text, re.MULTILINE)
    page = (ROOT / "docs" / "operations.md").read_text()
    watched = {name for name, watch in re.findall(r"^\| `(bus_\w+)` \| .* \| (.*) \|$", page, re.MULTILINE) if watch}
    missing = {name for name in served if name in watched and name not in asked}
    assert missing == {"bus_log_quota_bytes", "bus_inboxes"}


def test_panels_have_ids_of_their_own_and_lie_beside_each_other() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
