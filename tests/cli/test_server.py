"""``bus server``: its settings from the shell, and how it starts and stops."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus.config.options import OPTIONS
from tests.conftest import StartServer
from tests.support import ServerProcess, request, run_bus


def test_every_setting_is_an_option_with_its_variable() -> None:
    shown = " ".join(run_bus("server", "--help").stdout.decode().split())
    for option in OPTIONS:
        assert f"{option.flag} " in shown
        assert f"[{option.variable};" in shown


@pytest.mark.parametrize(
    ("args", "env", "line"),
    [
        ([], {}, "no namespaces are declared: name them with --namespaces app,orders or BUS_NAMESPACES"),
        (["--namespaces", "_bus_"], {}, "--namespaces: namespace _bus_ is reserved"),
        (["--namespaces", "app", "--fsync", "perhaps"], {}, "--fsync: 'perhaps' is not among"),
        (["--namespaces", "app"], {"BUS_FSYNC_INTERVAL": "5x"}, "BUS_FSYNC_INTERVAL: duration '5x' can't be read"),
        (["--namespaces", "app", "--secret-key-file", "/nowhere"], {}, "secret key file /nowhere can't be read"),
    ],
)
def test_a_setting_that_can_not_be_read(args: list[str], env: dict[str, str], line: str) -> None:
    answer = run_bus("server", *args, env=env)
    assert answer.returncode == 2
    assert line in answer.stderr.decode()
    assert answer.stderr.count(b"\n") == 1


def test_settings_from_the_environment_work_and_flags_win(start_server: StartServer, tmp_path: Path) -> None:
    env = {"BUS_NAMESPACES": "never", "BUS_CORS_ORIGINS": "https://example.org", "BUS_PATH": "/nowhere"}
    server = start_server(tmp_path / "here", namespaces=["app"], env=env)
    assert request(server, "POST", "/", b'{"subject":"app.a"}').status == 202
    assert (
        request(server, "OPTIONS", "/", Origin="https://example.org").headers["access-control-allow-origin"]
        == "https://example.org"
    )
    assert (tmp_path / "here").is_dir()


def test_a_secret_on_the_command_line_is_warned_about(start_server: StartServer) -> None:
    server = start_server(flags=["--secret-key", "s3cret"])
    assert "bus: --secret-key shows in the list of processes" in server.log
    assert "s3cret" not in server.log


def test_a_stop_is_clean(server: ServerProcess) -> None:
    assert server.stop() == 0
    assert "Traceback" not in server.log


def test_a_second_server_on_the_directory_is_refused(server: ServerProcess) -> None:
    answer = run_bus("server", "--addr", "127.0.0.1:0", "--path", server.path, "--namespaces", "app")
    assert answer.returncode == 1
    assert answer.stderr.startswith(b"bus: ")
    assert str(server.path) in answer.stderr.decode()
    assert answer.stderr.count(b"\n") == 1


def test_a_taken_port_is_one_line(server: ServerProcess, tmp_path: Path) -> None:
    address = f"127.0.0.1:{server.port}"
    answer = run_bus("server", "--addr", address, "--path", tmp_path / "other", "--namespaces", "app")
    assert answer.returncode in (1, 2)
    assert address in answer.stderr.decode()
    assert answer.stderr.count(b"\n") == 1
