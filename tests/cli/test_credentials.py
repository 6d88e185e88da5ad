"""Which server a command talks to, and what it says of who it is: seen by a server that takes note of it."""

from __future__ import annotations

import json
import subprocess
from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from tests.client.support import Peer, Wire, accepted, answered
from tests.support import BUS, PATIENCE, clean_environment, run_bus

SECRET = "bus_0123456789abcdefSECRET"
OTHER = "bus_OTHER"
NAMESPACES = b'{"namespaces":[{"namespace":"app","first_index":1,"next_index":1,"events":0,"bytes":0,"segments":1}]}'
STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-BUS-CONSUMER-ID: c_1\r\nConnection: close\r\n\r\n"
    b'event: open\ndata: {"next_index":1}\n\nevent: done\ndata: {"reason":"tail"}\n\n'
)


class Gatekeeper:
    """Answers like an empty server whoever shows the right ``Authorization``, if one is *wanted*; else 401."""

    def __init__(self, wanted: str = "") -> None:
        self.wanted = wanted
        self.seen: SimpleQueue[str] = SimpleQueue()
        self._peer = Peer(*[self._serve] * 40)

    @property
    def url(self) -> str:
        return self._peer.url

    def _serve(self, wire: Wire) -> None:
        while True:
            try:
                request = wire.request().decode()
            except (EOFError, ConnectionResetError):
                return
            head = request.partition("\r\n\r\n")[0].split("\r\n")
            shown = next((line[15:] for line in head if line.startswith("Authorization: ")), "")
            self.seen.put(shown)
            let_in = not self.wanted or shown == self.wanted
            wire.send(_answer(head[0]) if let_in else answered(b"401 Unauthorized", b"who are you?"))
            if "GET /?" in head[0]:
                return

    def close(self) -> None:
        self._peer.close()


def _answer(line: str) -> bytes:
    if line.startswith("GET /v1/namespaces"):
        return answered(b"200 OK", NAMESPACES)
    if line.startswith("GET /v1/consumers"):
        return answered(b"200 OK", b'{"consumers":[]}')
    if line.startswith("GET "):
        return STREAM
    return accepted(1)


@pytest.fixture
def gatekeeper() -> Iterator[Gatekeeper]:
    keeper = Gatekeeper(f"Bearer {SECRET}")
    yield keeper
    keeper.close()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{SECRET}\n")
    return path


PUT = ["put", "--subject", "app.a", "--data", "1"]
COMMANDS: dict[str, list[str]] = {
    "put": [*PUT, "--host", "URL"],
    "put many": ["put", "--file", "FILE", "--host", "URL"],
    "get": ["get", "--subject", "app.a", "--follow=false", "--host", "URL"],
    "ack": ["ack", "--consumer-id", "c_1", "--event-id", "e_1", "--host", "URL"],
    "consumers": ["consumers", "--host", "URL"],
    "dead": ["dead", "list", "--host", "URL"],
    "bench": ["bench", "publish", "--subject", "app.a", "--connections", "2", "--events", "2", "--host", "URL"],
    "debug": ["debug", "--path", "URL"],
    "debug events": ["debug", "--path", "URL", "--subject", "app.>"],
    "dump": ["dump", "--path", "URL"],
    "restore": ["restore", "--input", "FILE", "--path", "URL"],
    "copy from": ["copy", "--from", "URL", "--to", "DIR"],
    "copy to": ["copy", "--from", "DUMP", "--to", "URL"],
}
SIDES = {"copy from": "src-", "copy to": "dst-"}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with one event."""
    path = tmp_path_factory.mktemp("copied")
    (path / "dump").write_text('{"subject":"app.a","payload":1}\n')
    made = run_bus("restore", "--append", "--path", path / "data", "--input", path / "dump")
    assert made.returncode == 0, made.stderr
    return path


def run(name: str, url: str, directory: Path, tmp_path: Path, *flags: object, **env: str) -> Any:
    words = {"URL": url, "FILE": directory / "dump", "DUMP": directory / "data", "DIR": tmp_path / "out"}
    return run_bus(*[str(words.get(word, word)) for word in COMMANDS[name]], *map(str, flags), env=env)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_sends_the_token_of_a_file(
    gatekeeper: Gatekeeper, token_file: Path, directory: Path, tmp_path: Path, name: str
) -> None:
    flag = f"--{SIDES.get(name, '')}token-file"
    answer = run(name, gatekeeper.url, directory, tmp_path, flag, token_file)
    assert answer.returncode == 0, answer.stderr
    assert not gatekeeper.seen.empty()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_sends_the_token_of_the_environment_and_says_that_it_is_refused(
    gatekeeper: Gatekeeper, directory: Path, tmp_path: Path, name: str
) -> None:
    gatekeeper.wanted = "Bearer another"
    variable = f"BUS_{SIDES.get(name, '').replace('-', '_').upper()}TOKEN"
    answer = run(name, gatekeeper.url, directory, tmp_path, **{variable: SECRET, "BUS_LOG_LEVEL": "DEBUG"})
    assert answer.returncode == 1
    assert b"who are you?" in answer.stderr
    assert gatekeeper.seen.get(timeout=PATIENCE) == f"Bearer {SECRET}"
    assert SECRET.encode() not in answer.stdout + answer.stderr


@pytest.mark.parametrize("name", ["put", "get", "bench", "dump", "copy from", "copy to"])
def test_commands_send_the_user_of_an_address_and_never_shows_it(
    gatekeeper: Gatekeeper, directory: Path, tmp_path: Path, name: str
) -> None:
    gatekeeper.wanted = f"Basic {b64encode(f'me:{SECRET}'.encode()).decode()}"
    url = gatekeeper.url.replace("http://", f"http://me:{SECRET}@")
    answer = run(name, url, directory, tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert b"shows in the list of processes" in answer.stderr
    assert SECRET.encode() not in answer.stdout + answer.stderr


def test_an_address_that_can_not_be_reached_is_named_without_its_user() -> None:
    answer = run_bus(*PUT, env={"BUS_HOST": f"http://me:{SECRET}@127.0.0.1:1"})
    assert answer.stderr.startswith(b"bus: can't reach http://127.0.0.1:1: ")


@pytest.mark.parametrize(
    ("flags", "env", "sent"),
    [
        ([], {}, ""),
        ([], {"BUS_TOKEN": OTHER}, OTHER),
        ([], {"BUS_TOKEN_FILE": "FILE"}, SECRET),
        (["--token-file", "FILE"], {"BUS_TOKEN": OTHER}, SECRET),
        (["--token-file", "FILE"], {"BUS_TOKEN_FILE": "nowhere"}, SECRET),
    ],
)
def test_a_flag_wins_over_the_environment(
    gatekeeper: Gatekeeper, token_file: Path, flags: list[str], env: dict[str, str], sent: str
) -> None:
    gatekeeper.wanted = ""
    flags = [str(token_file) if word == "FILE" else word for word in flags]
    env = {name: str(token_file) if value == "FILE" else value for name, value in env.items()}
    assert run_bus(*PUT, "--host", gatekeeper.url, *flags, env=env).returncode == 0
    assert gatekeeper.seen.get(timeout=PATIENCE) == (f"Bearer {sent}" if sent else "")


@pytest.mark.parametrize(
    ("flags", "env", "line"),
    [
        (["--token-file", "/nowhere"], {}, "token file /nowhere can't be read: No such file or directory"),
        (["--token-file", "/dev/null"], {}, "token file /dev/null is empty: put the token on its first line"),
        (
            [],
            {"BUS_TOKEN": "a", "BUS_TOKEN_FILE": "b"},
            "BUS_TOKEN and BUS_TOKEN_FILE are both given: give one of them",
        ),
        (["--context", "x", "--host", "http://a"], {}, "--host and --context don't go together; see bus put --help"),
        (["--context", "x"], {}, "there is no context 'x': bus context add makes one"),
    ],
)
def test_what_can_not_be_used_is_one_line(tmp_path: Path, flags: list[str], env: dict[str, str], line: str) -> None:
    answer = run_bus(*PUT, *flags, env={"XDG_CONFIG_HOME": str(tmp_path), **env})
    assert answer.stderr.decode() == f"bus: {line}\n"
    assert answer.returncode == 2


def test_a_token_is_no_option() -> None:
    answer = run_bus(*PUT, f"--token={SECRET}")
    assert answer.stderr.startswith(b"bus: no such option --token (did you mean --token-file")
    assert answer.returncode == 2
    assert SECRET.encode() not in answer.stderr


def test_a_file_that_is_replaced_is_read_again(gatekeeper: Gatekeeper, token_file: Path) -> None:
    command = [*BUS, "put", "--stdin", "--host", gatekeeper.url, "--token-file", str(token_file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=clean_environment()) as running:
        assert running.stdin is not None and running.stdout is not None
        running.stdin.write(b'{"subject":"app.a"}\n')
        running.stdin.flush()
        assert b"e_1" in running.stdout.readline()
        gatekeeper.wanted = f"Bearer {OTHER}"
        token_file.write_text(OTHER)
        running.stdin.write(b'{"subject":"app.a"}\n')
        running.stdin.close()
        assert b"e_1" in running.stdout.readline()
    assert running.returncode == 0
    assert [gatekeeper.seen.get(timeout=PATIENCE) for _ in range(3)] == [
        f"Bearer {SECRET}",
        f"Bearer {SECRET}",
        f"Bearer {OTHER}",
    ]


# -- contexts


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "config"


def bus(
    home: Path, *args: object, stdin: bytes = b"", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    return run_bus(*map(str, args), stdin=stdin, env={"XDG_CONFIG_HOME": str(home), **(env or {})})


def keep(home: Path, text: str) -> Path:
    """The file of contexts with *text* in it."""
    file = home / "bus" / "contexts.toml"
    file.parent.mkdir(parents=True)
    file.touch(0o600)
    file.write_text(text)
    return file


def contexts(home: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in bus(home, "context", "list").stdout.splitlines()]


def test_a_context_is_kept_for_its_owner_alone(home: Path, token_file: Path) -> None:
    assert contexts(home) == []
    host = "https://bus.example.com"
    assert bus(home, "context", "add", "prod", "--host", host, "--token-file", token_file).returncode == 0
    added = bus(home, "context", "add", "test", "--host", host, "--token-from-stdin", stdin=f"{SECRET}\n".encode())
    assert added.returncode == 0
    file = home / "bus" / "contexts.toml"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert SECRET in file.read_text()
    assert contexts(home) == [
        {"name": "prod", "host": host, "token": str(token_file), "tls": "none", "in_use": False},
        {"name": "test", "host": host, "token": "kept in the file", "tls": "none", "in_use": False},
    ]
    assert bus(home, "context", "use", "test").returncode == 0
    assert json.loads(bus(home, "context", "show", "test").stdout)["in_use"] is True
    assert bus(home, "context", "remove", "test").returncode == 0
    assert [each["name"] for each in contexts(home)] == ["prod"]
    assert SECRET not in file.read_text()


def test_what_people_wrote_into_the_file_stays(home: Path) -> None:
    file = keep(home, '# mine\n[contexts.prod]\nhost = "https://a.example"  # the old one\n')
    for words in (["use", "prod"], ["add", "test", "--host", "https://b.example"], ["remove", "test"]):
        assert bus(home, "context", *words).returncode == 0
    assert file.read_text().startswith("# mine\n")
    assert 'host = "https://a.example"  # the old one\n' in file.read_text()
    assert contexts(home) == [
        {"name": "prod", "host": "https://a.example", "token": "none", "tls": "none", "in_use": True}
    ]


@pytest.mark.parametrize(
    ("flags", "env", "host", "token"),
    [
        ([], {}, "used", SECRET),
        ([], {"BUS_CONTEXT": "other"}, "other", OTHER),
        (["--context", "other"], {}, "other", OTHER),
        (["--context", "other"], {"BUS_CONTEXT": "used", "BUS_HOST": "USED"}, "other", OTHER),
        (["--context", "other"], {"BUS_TOKEN": "env"}, "other", OTHER),
        ([], {"BUS_TOKEN": "env"}, "used", "env"),
        (["--token-file", "FILE"], {"BUS_TOKEN": "env"}, "used", SECRET),
        (["--context", "other", "--token-file", "FILE"], {}, "other", SECRET),
        (["--host", "OTHER"], {}, "other", ""),
        ([], {"BUS_HOST": "OTHER"}, "other", ""),
        ([], {"BUS_HOST": "OTHER", "BUS_CONTEXT": "used"}, "other", ""),
        (["--host", "OTHER"], {"BUS_TOKEN": "env"}, "other", "env"),
    ],
)
def test_a_flag_wins_over_the_environment_which_wins_over_the_context(
    home: Path, token_file: Path, flags: list[str], env: dict[str, str], host: str, token: str
) -> None:
    used, other = Gatekeeper(), Gatekeeper()
    kept = {
        "used": f'host = "{used.url}"\ntoken_file = "{token_file}"',
        "other": f'host = "{other.url}"\ntoken = "{OTHER}"',
    }
    keep(home, 'use = "used"\n' + "".join(f"[contexts.{name}]\n{text}\n" for name, text in kept.items()))
    words = {"OTHER": other.url, "USED": used.url, "FILE": str(token_file)}
    flags = [words.get(word, word) for word in flags]
    answer = bus(home, *PUT, *flags, env={name: words.get(value, value) for name, value in env.items()})
    assert answer.returncode == 0, answer.stderr
    keeper, idle = (used, other) if host == "used" else (other, used)
    assert keeper.seen.get(timeout=PATIENCE) == (f"Bearer {token}" if token else "")
    assert idle.seen.empty()
    used.close()
    other.close()


def test_a_context_takes_the_place_of_a_path_only_when_asked(
    home: Path, gatekeeper: Gatekeeper, token_file: Path, directory: Path
) -> None:
    keep(home, f'use = "prod"\n[contexts.prod]\nhost = "{gatekeeper.url}"\ntoken_file = "{token_file}"\n')
    here = bus(home, "dump", env={"BUS_PATH": str(directory / "data")})
    there = bus(home, "dump", "--context", "prod")
    assert here.stdout.count(b"\n") == 1
    assert (there.returncode, there.stdout) == (0, b"")


PROD = '[contexts.prod]\nhost = "http://a"\n'
BROKEN = {
    "not TOML": "use =",
    "an unknown key": '[contexts.a]\nhost = "http://a"\ntokens = "x"',
    "no host": '[contexts.a]\ntoken = "SECRET"',
    "no text": "\ufffe",
    "a number": 'use = 1\n[contexts.a]\nhost = "http://a"',
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_file_that_can_not_be_read_is_named_and_hinders_nobody_else(
    home: Path, gatekeeper: Gatekeeper, kind: str
) -> None:
    file = keep(home, "")
    file.write_bytes(BROKEN[kind].encode("utf-16" if kind == "no text" else "utf-8"))
    answer = bus(home, *PUT)
    assert answer.stderr.decode().startswith(f"bus: contexts in {file} can't be read: ")
    assert answer.returncode == 2
    assert b"SECRET" not in answer.stderr
    assert bus(home, *PUT, "--host", gatekeeper.url, env={"BUS_TOKEN": SECRET}).returncode == 0


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o602, 0o604])
def test_a_file_that_is_open_to_others_is_refused(home: Path, mode: int) -> None:
    file = keep(home, PROD)
    file.chmod(mode)
    answer = bus(home, "context", "list")
    assert answer.stderr.decode() == f"bus: contexts in {file} are open to others: chmod 600 {file}\n"
    assert answer.returncode == 2


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["add"], "add needs the NAME of a context; see bus context --help"),
        (["add", "a"], "add needs --host, the server's address; see bus context --help"),
        (["add", "a b", "--host", "http://a"],
         "context 'a b' can't be: a name has letters, digits, _ and -, 64 at most"),
        (["add", "prod", "--host", "http://a"], "context prod is there already: remove it first"),
        (["add", "a", "--host", "a"], "server 'a' can't be read: write it like http://localhost:2021"),
        (["add", "a", "--host", "http://me:x@a"],
         "a context keeps no password: leave it out of --host, and give a token"),
        (["add", "a", "--host", "http://a", "--token-from-stdin"], "standard input holds no token"),
        (["add", "a", "--host", "http://a", "--token-file", "/nowhere"],
         "token file /nowhere can't be read: No such file or directory"),
        (["use", "prud"], "there is no context 'prud': did you mean prod?"),
        (["remove", "x"], "there is no context 'x': known are prod"),
        (["list", "--host", "http://a"], "list takes no options; see bus context --help"),
    ],
)  # fmt: skip
def test_what_can_not_be_done_with_contexts_is_one_line(home: Path, words: list[str], line: str) -> None:
    file = keep(home, PROD)
    answer = bus(home, "context", *words)
    assert answer.stderr.decode() == f"bus: {line}\n"
    assert answer.returncode == 2
    assert file.read_text() == PROD


def test_names_are_completed(home: Path) -> None:
    keep(home, "".join(PROD.replace("prod", name) for name in ("prod", "preview", "test")))
    complete = {"_BUS_COMPLETE": "bash_complete", "COMP_CWORD": "3"}
    for line in ("bus put --context pr", "bus context use pr"):
        assert bus(home, env={"COMP_WORDS": line, **complete}).stdout == b"plain,prod\nplain,preview\n"
