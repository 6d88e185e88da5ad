"""What tells others how to run Bus: each is read by the tool, or the published schema, that it is for."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
import yaml

from bus import __version__
from bus.config.options import OPTIONS
from tests.conftest import StartServer
from tests.docs.blocks import ROOT
from tests.faults.tracing import needs_strace
from tests.nats.servers import PROGRAM
from tests.proxies.support import free_port
from tests.support import PATIENCE, ServerProcess, clean_environment, request

UNIT = ROOT / "deploy" / "systemd" / "bus.service"
MANIFEST = ROOT / "deploy" / "kubernetes" / "bus.yaml"
CLUSTER_MANIFEST = MANIFEST.with_name("cluster.yaml")
COMPOSE = ROOT / "docker-compose.yml"
CLUSTER_COMPOSE = ROOT / "docker-compose.cluster.yml"
MOST_EXPOSED = 2.0
"""Of 10, by the reckoning of systemd-analyze, which calls up to 2 "OK" and a plain service 9.6 "UNSAFE"."""

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze (systemd) is missing")


def _output(*command: str | Path) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
    return done.stdout


def _tool(name: str) -> Path:
    return Path(sys.executable).parent / name


def _parts(manifest: Path, kind: str, name: str) -> Any:
    """The object of *kind* of this *name*."""
    found = (each for each in yaml.safe_load_all(manifest.read_text()) if each["kind"] == kind)
    return next(each for each in found if each["metadata"]["name"] == name)


def _container(manifest: Path, kind: str, name: str) -> Any:
    (container,) = _parts(manifest, kind, name)["spec"]["template"]["spec"]["containers"]
    return container


def _probes(container: Any) -> dict[str, Any]:
    return {name: probe["httpGet"] for name, probe in container.items() if name.endswith("Probe")}


@pytest.mark.parametrize("file", [COMPOSE, CLUSTER_COMPOSE], ids=lambda file: file.name)
def test_the_compose_files_are_valid(file: Path) -> None:
    assert "ok" in _output(_tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", file)


@pytest.mark.parametrize(("manifest", "parts"), [(MANIFEST, 2), (CLUSTER_MANIFEST, 7)], ids=["one", "cluster"])
def test_the_manifests_are_valid(manifest: Path, parts: int) -> None:
    assert _output(_tool("kubernetes-validate"), "--strict", manifest).count(" passed ") == parts


@pytest.mark.parametrize(
    ("manifest", "kind", "probes"), [(MANIFEST, "StatefulSet", 3), (CLUSTER_MANIFEST, "Deployment", 2)]
)
def test_servers_of_the_manifests_are_asked_for_what_there_is(
    server: ServerProcess, manifest: Path, kind: str, probes: int
) -> None:
    container = _container(manifest, kind, "bus")
    asked = [probe["path"] for probe in _probes(container).values()]
    assert len(asked) == probes
    assert [request(server, "GET", path).status for path in asked] == [200] * probes
    assert container["image"].endswith(f"/busd:{__version__}")
    assert {given["name"] for given in container["env"]} <= {option.variable for option in OPTIONS}


def test_nodes_of_the_manifest_start_and_are_asked_for_what_there_is(tmp_path: Path) -> None:
    """By its own settings but for the ports and the store, and without the others, whose names nobody knows here."""
    settings = _parts(CLUSTER_MANIFEST, "ConfigMap", "bus-nats")["data"]["nats.conf"]
    settings = (
        settings.partition("cluster {")[0].replace("/data", str(tmp_path)).replace("0.0.0.0:4222", "127.0.0.1:-1")
    )
    file, port = tmp_path / "nats.conf", free_port()
    file.write_text(settings.replace("0.0.0.0:8222", f"127.0.0.1:{port}"))
    with subprocess.Popen([PROGRAM, "--config", file], env=clean_environment(POD_NAME="bus-nats-0")) as node:
        try:
            container = _container(CLUSTER_MANIFEST, "StatefulSet", "bus-nats")
            asked = [probe["path"] for probe in _probes(container).values()]
            assert [_wait_for_answer(port, path) for path in asked] == [200] * 3
        finally:
            node.kill()


def _wait_for_answer(port: int, path: str) -> int:
    """The status, asked for again while nobody listens or the node isn't ready, as whoever probes does."""
    deadline = monotonic() + PATIENCE
    while (status := _ask(port, path)) in (None, HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE):
        assert monotonic() < deadline, f"{path}: {status}"
        sleep(0.02)
    return status


def _ask(port: int, path: str) -> int | None:
    """The status, None if nobody listens."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except ConnectionRefusedError:
        return None
    finally:
        connection.close()


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
