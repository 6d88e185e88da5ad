"""What tells others how to run Bus: each is read by the tool, or the published schema, that it is for."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bus import __version__
from tests.conftest import StartServer
from tests.docs.blocks import ROOT
from tests.faults.tracing import needs_strace
from tests.support import ServerProcess, request

UNIT = ROOT / "deploy" / "systemd" / "bus.service"
MANIFEST = ROOT / "deploy" / "kubernetes" / "bus.yaml"
COMPOSE = ROOT / "docker-compose.yml"
MOST_EXPOSED = 2.0
"""Of 10, by the reckoning of systemd-analyze, which calls up to 2 "OK" and a plain service 9.6 "UNSAFE"."""

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze (systemd) is missing")


def _output(*command: str | Path) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
    return done.stdout


def _tool(name: str) -> Path:
    return Path(sys.executable).parent / name


def test_the_compose_file_is_valid() -> None:
    assert "ok" in _output(_tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", COMPOSE)


def test_the_manifest_is_valid() -> None:
    assert _output(_tool("kubernetes-validate"), "--strict", MANIFEST).count(" passed ") == 2


def test_the_probes_of_the_manifest_ask_for_what_there_is(server: ServerProcess) -> None:
    _, workload = yaml.safe_load_all(MANIFEST.read_text())
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert request(server, "GET", container[probe]["httpGet"]["path"]).status == 200
    assert container["image"].endswith(f"/busd:{__version__}")


@needs_systemd
def test_systemd_reads_every_line_of_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "bus.service"
    unit.write_text(UNIT.read_text().replace("/opt/bus/bin/bus", str(_tool("bus"))))
    assert _output("systemd-analyze", "verify", unit) == ""


@needs_systemd
def test_the_unit_leaves_the_server_little_to_do_harm_with() -> None:
    found = re.search(r"exposure level for bus.service: ([\d.]+)", _output(
        "systemd-analyze", "security", "--offline=yes", "--no-pager", UNIT
    ))  # fmt: skip
    assert found and float(found[1]) < MOST_EXPOSED


@needs_systemd
@needs_strace
def test_the_unit_lets_the_server_make_the_system_calls_it_makes(tmp_path: Path, start_server: StartServer) -> None:
    trace = tmp_path / "trace"
    server = start_server(wrapper=["strace", "--follow-forks", "--quiet=all", f"--output={trace}"])
    request(server, "POST", "/", b'{"subject":"app.a"}')
    server.stop()
    made = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.MULTILINE))
    assert "epoll_wait" in made or "epoll_pwait" in made
    allowed = _calls("@system-service") - _calls("@privileged") | _calls("@default")
    assert made - {"fchown"} <= allowed  # SQLite makes this one for root, which the unit's server isn't


def _calls(group: str) -> set[str]:
    """The system calls of a group, with those of the groups in it."""
    words = {line.strip() for line in _output("systemd-analyze", "syscall-filter", group).splitlines()[1:]}
    below = [_calls(word) for word in words if word.startswith("@")]
    return {word for word in words if word.isidentifier()}.union(*below)
