"""One data directory has one server, for two that append to one log would destroy it."""

from __future__ import annotations

from tests.support import PATIENCE, ServerProcess, request, run_bus

NAMESPACES = ("--namespaces", "app")


def test_a_second_server_on_a_directory_is_refused(server: ServerProcess) -> None:
    second = run_bus("server", "--addr", "127.0.0.1:0", "--path", server.path, *NAMESPACES, timeout=PATIENCE)
    assert second.returncode == 1
    assert f"is in use by process {server.pid}: stop that server" in second.stderr.decode()
    assert request(server, "GET", "/readyz").status == 200


def test_a_server_that_was_killed_leaves_no_lock(server: ServerProcess) -> None:
    server.kill()
    server.restart()
    assert request(server, "GET", "/readyz").status == 200
