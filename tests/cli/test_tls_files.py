"""Files for TLS: by flags, by the environment, by a context; every command that talks to a server takes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from bus.cli.tls_options import choose_tls
from bus.transfer.server_address import TlsFiles
from tests.authority import Authority
from tests.cli.test_credentials import COMMANDS, PUT, SIDES, bus, keep, run
from tests.support import ServerProcess, run_bus

REFUSED = "wants a certificate of this client that it trusts"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def private(
    tmp_path_factory: pytest.TempPathFactory, bus_command: Sequence[str], own: Authority
) -> Iterator[ServerProcess]:
    """A server that talks only to clients with a certificate."""
    flags = ["--tls-client-ca", str(own.path)]
    server = ServerProcess(tmp_path_factory.mktemp("private") / "data", flags=flags, bus=bus_command, authority=own)
    yield server
    server.close()


@pytest.fixture(scope="module")
def files(own: Authority) -> TlsFiles:
    identity = own.issue("me", "me.example")
    return TlsFiles(own.path, identity.certificate, identity.key)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("copied")
    (path / "dump").write_text('{"subject":"app.a","payload":1}\n')
    assert run_bus("restore", "--append", "--path", path / "data", "--input", path / "dump").returncode == 0
    return path


def _flags(files: TlsFiles, side: str = "") -> list[str]:
    named = {"ca": files.ca, "cert": files.certificate, "key": files.key}
    return [word for name, path in named.items() if path for word in (f"--{side}{name}-file", str(path))]


def _variables(files: TlsFiles) -> dict[str, str]:
    return {"BUS_CA_FILE": str(files.ca), "BUS_CERT_FILE": str(files.certificate), "BUS_KEY_FILE": str(files.key)}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_them(
    private: ServerProcess, files: TlsFiles, directory: Path, tmp_path: Path, name: str
) -> None:
    answer = run(name, private.url, directory, tmp_path, *_flags(files, SIDES.get(name, "")))
    expected = (1, b"consumer c_1 doesn't exist") if name == "ack" else (0, b"")
    assert (answer.returncode, expected[1] in answer.stderr) == (expected[0], True), answer.stderr


def test_they_come_from_the_environment(private: ServerProcess, files: TlsFiles) -> None:
    put = [*PUT, "--host", private.url]
    assert run_bus(*put, env=_variables(files)).returncode == 0
    flags = _flags(TlsFiles(None, files.certificate, files.key))
    assert run_bus(*put, *flags, env={"BUS_CA_FILE": str(files.ca)}).returncode == 0
    refused = run_bus(*put, env={"BUS_CA_FILE": str(files.ca)})
    assert (refused.returncode, REFUSED in refused.stderr.decode()) == (1, True)


def test_a_context_keeps_where_they_are(private: ServerProcess, files: TlsFiles, tmp_path: Path) -> None:
    added = bus(tmp_path, "context", "add", "own", "--host", private.url, *_flags(files))
    assert added.returncode == 0, added.stderr
    (shown,) = bus(tmp_path, "context", "list").stdout.splitlines()
    assert json.loads(shown)["tls"] == f"ca={files.ca}; certificate={files.certificate}; key={files.key}"
    assert bus(tmp_path, *PUT, "--context", "own").returncode == 0
    assert bus(tmp_path, "dump", "--context", "own").returncode == 0
    bus(tmp_path, "context", "use", "own")
    assert bus(tmp_path, *PUT).returncode == 0
    assert bus(tmp_path, *PUT, env={"BUS_CA_FILE": "/nowhere"}).stderr.startswith(b"bus: /nowhere can't be read")
    assert bus(tmp_path, *PUT, "--context", "own", env={"BUS_CA_FILE": "/nowhere"}).returncode == 0


def test_a_flag_wins_over_the_environment_which_wins_over_the_context() -> None:
    def named(name: str) -> TlsFiles:
        return TlsFiles(Path(f"{name}.ca"), Path(f"{name}.pem"), Path(f"{name}.key"))

    flag, kept, environment = named("flag"), named("kept"), _variables(named("environment"))
    assert choose_tls(flag, kept=kept, environ=environment) == flag
    assert choose_tls(TlsFiles(), kept=kept, environ=environment) == named("environment")
    assert choose_tls(TlsFiles(), kept=kept, kept_wins=True, environ=environment) == kept
    assert choose_tls(TlsFiles(), kept=kept, environ={}) == kept
    alone = TlsFiles(certificate=Path("both.pem"))
    assert choose_tls(alone, kept=kept, environ={}) == TlsFiles(Path("kept.ca"), Path("both.pem"), None)
    sided = {f"BUS_SRC{name.removeprefix('BUS')}": path for name, path in environment.items()}
    assert choose_tls(TlsFiles(), side="src_", environ=sided) == named("environment")


@pytest.mark.parametrize(
    ("command", "flags", "line"),
    [
        (PUT, ["--key-file", "a.key"], "--key-file needs --cert-file; see bus put --help"),
        (PUT, ["--ca-file", "/nowhere", "--host", "https://a"], "/nowhere can't be read: No such file or directory"),
        (
            PUT,
            ["--ca-file", "a", "--host", "http://a"],
            "files for TLS are given, and http://a is reached without: ask for https://; see bus put --help",
        ),
        (["dump"], ["--ca-file", "a"], "--ca-file is for a server, and ./data is a directory; see bus dump --help"),
        (
            ["context", "add", "a", "--host", "https://a"],
            ["--cert-file", "/nowhere"],
            "/nowhere can't be read: No such file or directory",
        ),
        (["context", "list"], ["--ca-file", "a"], "list takes no options; see bus context --help"),
    ],
)
def test_what_can_not_be_used_is_one_line(tmp_path: Path, command: list[str], flags: list[str], line: str) -> None:
    keep(tmp_path, "")
    answer = bus(tmp_path, *command, *flags)
    assert answer.stderr.decode() == f"bus: {line}\n"
    assert answer.returncode == 2
