"""Standard streams that are closed, full or gone: one line at most, and the status that fits."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.cli.stored import Stored
from tests.support import BUS, ServerProcess, clean_environment, run_bus

COMMANDS = {
    "help": "--help",
    "version": "--version",
    "completion": "completion bash",
    "put": "put --subject app.a --data 1 --host {url}",
    "put lines": "put --subject app.a --file {file} --host {url}",
    "get": "get --subject 'app.>' --start oldest --no-follow --host {url}",
    "consumers": "consumers --host {url}",
    "dead": "dead list --host {url}",
    "debug": "debug --path {path}",
    "list": "debug --path {path} --index 1..",
    "dump": "dump --path {path}",
    "dump a server": "dump --path {url}",
    "verify": "verify --path {path}",
    "bench": "bench publish --subject app.bench --events 1 --connections 1 --host {url}",
}
QUIET = {"consumers", "dead"}
"""Those that have nothing to say of this server."""


@pytest.fixture(scope="module")
def words(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What stands in the commands: a server and its directory, and a file of lines."""
    path = tmp_path_factory.mktemp("streams")
    server = ServerProcess(path / "data")
    request.addfinalizer(server.close)
    (path / "lines").write_text("1\n2\n")
    (path / "many").write_text("".join(f"{number}\n" for number in range(20)))
    assert run_bus("put", "--subject", "app.a", "--file", path / "many", "--host", server.url).returncode == 0
    return {"url": server.url, "path": server.path, "file": path / "lines"}


def _shell(command: str, redirection: str) -> subprocess.CompletedProcess[bytes]:
    line = f"{shlex.join(BUS)} {command} {redirection}"
    return subprocess.run(["bash", "-c", line], capture_output=True, env=clean_environment(), timeout=60, check=False)


@pytest.mark.parametrize("redirection", [">&-", ">/dev/full"])
@pytest.mark.parametrize("name", COMMANDS)
def test_what_can_not_be_printed_is_one_line(words: dict[str, object], name: str, redirection: str) -> None:
    ended = _shell(COMMANDS[name].format(**words), redirection)
    assert b"Traceback" not in ended.stderr and b"Exception" not in ended.stderr
    if name in QUIET:
        assert (ended.returncode, ended.stderr) == (0, b"")
    else:
        assert (ended.returncode, ended.stderr.count(b"\n")) == (1, 1)
        assert ended.stderr.startswith(b"bus: ")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_reader_that_is_gone_is_not_told_about(words: dict[str, object], name: str) -> None:
    ended = _shell(COMMANDS[name].format(**words), "> >(exec true); sleep 0.01")
    assert b"Traceback" not in ended.stderr and b"Exception" not in ended.stderr
    assert ended.stderr.count(b"\n") <= (name == "put lines")


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", "<&- 2>&-"])
def test_nobody_may_want_to_read_errors(words: dict[str, object], redirection: str) -> None:
    assert _shell("dump --path /nowhere", redirection).returncode == 1
    assert _shell("nosuch", redirection).returncode == 2
    whole = _shell(COMMANDS["dump"].format(**words), redirection)
    assert (whole.returncode, whole.stderr) == (0, b"")
    assert whole.stdout.count(b"\n") >= 20


@pytest.mark.parametrize("command", ["put --subject app.a --stdin --host {url}", "restore --path {new} --input -"])
def test_closed_input_is_one_line(words: dict[str, object], tmp_path: Path, command: str) -> None:
    ended = _shell(command.format(**words, new=tmp_path / "new"), "<&-")
    assert (ended.returncode, ended.stderr) == (1, b"bus: standard input can't be read: Bad file descriptor\n")


def test_no_file_gets_the_number_of_a_stream_that_is_closed(plain: Stored, words: dict[str, object]) -> None:
    dump = _shell(COMMANDS["dump"].format(**words), "").stdout
    file = plain.path.parent / "events.json"
    file.write_bytes(dump)
    restored = _shell(f"restore --path {plain.path} --input {file}", "<&- >&- 2>&-")
    assert restored.returncode == 0
    assert plain.verify().returncode == 0
    assert plain.dump() == dump


def test_a_full_disk_is_named_with_the_file(words: dict[str, object]) -> None:
    ended = _shell(COMMANDS["dump"].format(**words), "--output /dev/full")
    assert (ended.returncode, ended.stderr) == (1, b"bus: /dev/full can't be written: No space left on device\n")
