"""The single file, on a Debian that has no Python."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bus import __version__
from tests.docs.blocks import ROOT
from tests.install.machine import Container, Sandbox, needs_debian
from tests.support import PATIENCE, clean_environment

GUIDE = (ROOT / "docs" / "install.md").read_text()
WEBHOOKS = ROOT / "tests" / "data" / "github-webhooks.ndjson"


@pytest.fixture
def sandbox(machine: Path, binary: Path, tmp_path: Path) -> Sandbox:
    """A Debian with the file, a root that can't be written, and directories for temporary files and data."""
    shutil.copy(binary, machine / "usr/local/bin/bus")
    shutil.copy(WEBHOOKS, machine / "webhooks.ndjson")
    data = tmp_path / "srv"
    data.mkdir()
    os.chown(data, 1000, 1000)
    return Sandbox(root=machine, memory=["/tmp"], volumes={"/srv": data}, user="1000:1000", directory="/srv")


@contextmanager
def _serving(sandbox: Sandbox, path: str, *flags: str) -> Iterator[Container]:
    """A server on *path* that is stopped at the end, beside which commands can be run."""
    with Container(sandbox, "bus", "server", "--path", path, "--namespaces", "github", *flags) as container:
        container.wait_for("listening on http://")
        yield container
        assert container.stop() == 0


@contextmanager
def _idle(sandbox: Sandbox) -> Iterator[Container]:
    """Nothing that runs, beside which commands can be run."""
    with Container(sandbox, "sh", "-c", "echo up >&2; exec sleep infinity") as container:
        container.wait_for("up")
        yield container


@needs_debian
def test_serving_without_python(sandbox: Sandbox) -> None:
    with _serving(sandbox, "data") as container:
        assert container.execute("sh", "-c", "command -v python3").returncode != 0
        assert container.succeed("bus", "--version") == f"bus {__version__} (compiled)\n"
        container.succeed("bus", "put", "--file", "/webhooks.ndjson", "--quiet")
        got = container.succeed("bus", "get", "--subject", "github.>", "--start", "oldest", "--follow=false")
        assert len(got.splitlines()) == len(WEBHOOKS.read_text().splitlines())
        assert "bus_log_events" in _get(container, "/metrics")
        assert '"openapi"' in _get(container, "/openapi.json")
        assert "<title>Bus</title>" in _get(container, "/ui/")


def _get(container: Container, path: str) -> str:
    script = f"exec 3<>/dev/tcp/127.0.0.1/2021; printf 'GET {path} HTTP/1.0\\r\\nHost: bus\\r\\n\\r\\n' >&3; cat <&3"
    return container.succeed("bash", "-c", script)


@needs_debian
def test_looking_after_files_without_python(sandbox: Sandbox) -> None:
    with _idle(sandbox) as idle:
        idle.succeed("bus", "restore", "--path", "data", "--append", "--input", "/webhooks.ndjson")
        idle.succeed("bus", "dump", "--path", "data", "--output", "dump")
        idle.succeed("bus", "restore", "--path", "copy", "--input", "dump")
        assert idle.succeed("bus", "dump", "--path", "copy", "--output", "-") == idle.succeed("cat", "dump")
        idle.succeed("bus", "verify", "--path", "copy")
        idle.succeed("bus", "debug", "--path", "copy")


@needs_debian
def test_encrypted_logs_without_python(sandbox: Sandbox) -> None:
    with _idle(sandbox) as idle:
        idle.succeed("sh", "-c", "echo secret >key")
    with _serving(sandbox, "encrypted", "--secret-key-file", "key") as container:
        container.succeed("bus", "put", "--subject", "github.test", "--data", '"very private"')
    with _idle(sandbox) as idle:
        assert idle.execute("grep", "--recursive", "very private", "encrypted").returncode == 1
        dump = idle.succeed("bus", "dump", "--path", "encrypted", "--secret-key-file", "key", "--output", "-")
    assert "very private" in dump


@needs_debian
def test_completion_without_python(sandbox: Sandbox) -> None:
    with _idle(sandbox) as idle:
        for shell in ("bash", "zsh", "fish"):
            assert "_BUS_COMPLETE" in idle.succeed("bus", "completion", shell)
        completed = idle.succeed("bus", _BUS_COMPLETE="bash_complete", COMP_WORDS="bus ser", COMP_CWORD="1")
    assert completed == "plain,server\n"


def _start(binary: Path, path: Path, **settings: str) -> subprocess.Popen[str]:
    """A server in a process group of its own that unpacks into *path*/tmp."""
    temporary = path / "tmp"
    temporary.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [binary, "server", "--addr", "127.0.0.1:0", "--path", path / "data", "--namespaces", "app"],
        env=clean_environment(TMPDIR=str(temporary), **settings), stderr=subprocess.PIPE, text=True, process_group=0,
    )  # fmt: skip
    assert process.stderr is not None
    assert any("listening" in line for line in process.stderr)
    return process


def _end(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the end of *process* and of all that holds its standard error."""
    _, log = process.communicate(timeout=PATIENCE)
    return process.returncode, log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_launcher_is_a_clean_stop(binary: Path, tmp_path: Path, number: signal.Signals) -> None:
    process = _start(binary, tmp_path)
    process.send_signal(number)
    status, log = _end(process)
    assert status == 0
    assert log.endswith("stopped\n")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_ctrl_c_reaches_launcher_and_server_alike(binary: Path, tmp_path: Path) -> None:
    process = _start(binary, tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    status, log = _end(process)
    assert status == 0
    assert "Traceback" not in log


def test_the_service_manager_hears_of_the_server_behind_the_launcher(binary: Path, tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(PATIENCE)
        manager.bind(address)
        # WATCHDOG_PID is the launcher's under systemd, never the server's.
        process = _start(binary, tmp_path, NOTIFY_SOCKET=address, WATCHDOG_USEC="100000", WATCHDOG_PID="1")
        told: set[bytes] = set()
        while not told >= {b"READY=1", b"WATCHDOG=1"}:
            told.add(manager.recv(4096).split(b"\n")[0])
        process.terminate()
        assert _end(process)[0] == 0


def test_exit_statuses_come_through(binary: Path) -> None:
    statuses = [subprocess.run([binary, *command], capture_output=True).returncode for command in (["server"], ["-h"])]
    assert statuses == [2, 0]


def test_a_killed_server_ends_with_its_launcher_and_is_cleared_up_after(binary: Path, tmp_path: Path) -> None:
    process = _start(binary, tmp_path)
    process.kill()
    _end(process)
    (left,) = (tmp_path / "tmp").iterdir()
    others = tmp_path / "tmp" / "_MEIothers"
    others.mkdir()
    long_ago = time.time() - 3600
    for directory in (left, others):
        os.utime(directory, (long_ago, long_ago))
    running = _start(binary, tmp_path)
    (used,) = set((tmp_path / "tmp").iterdir()) - {others, left}
    os.utime(used, (long_ago, long_ago))
    subprocess.run([binary, "--version"], env=clean_environment(TMPDIR=str(tmp_path / "tmp")), check=True)
    assert set((tmp_path / "tmp").iterdir()) == {others, used}
    running.terminate()
    assert _end(running)[0] == 0


def test_size_and_start_are_what_the_guide_says(binary: Path) -> None:
    promised = re.search(r"is the whole command, .*? in ([\d.]+) MB", GUIDE, re.DOTALL)
    assert promised and binary.stat().st_size < 1.1 * float(promised[1]) * 1_000_000
    began = time.monotonic()
    subprocess.run([binary, "--version"], check=True, capture_output=True)
    assert time.monotonic() - began < 5  # the guide says 0.35 s; a busy machine may take longer


def test_the_libraries_ask_for_no_newer_glibc_than_the_guide_says(binary: Path, tmp_path: Path) -> None:
    process = _start(binary, tmp_path)
    (unpacked,) = (tmp_path / "tmp").iterdir()
    needed = {version for file in [binary, *unpacked.rglob("*.so*")] for version in _glibc_versions(file)}
    process.terminate()
    assert _end(process)[0] == 0
    promised = re.search(r"glibc (\d+)\.(\d+)", GUIDE)
    assert promised and max(needed) <= (int(promised[1]), int(promised[2]))


def _glibc_versions(file: Path) -> set[tuple[int, int]]:
    return {(int(major), int(minor)) for major, minor in re.findall(rb"GLIBC_(\d+)\.(\d+)", file.read_bytes())}
