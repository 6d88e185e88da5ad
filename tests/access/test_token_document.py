"""``bus token``: the file is edited as its author would, and never left in a state that no server reads."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bus.access.tables import TokenTable
from bus.access.token import hash_of, is_token, new_token
from bus.access.token_document import TokenDocument
from bus.access.token_file import read_token_file
from bus.errors import ConfigError
from tests.support import run_bus

COMMENTED = f"""# ours
[tokens.first]  # the shop
hash = "{hash_of(new_token())}"
publish = ["app.>"] # all of it

[anonymous]
# everybody
subscribe = ["app.public.>"]

[tokens.second]
hash = "{hash_of(new_token())}"
"""


def _table(**rights: list[str]) -> TokenTable:
    return TokenTable(hash=hash_of(new_token()), **rights)  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "tokens.toml"
    found.touch(0o640)
    found.write_text(COMMENTED)
    return found


def test_what_was_written_by_people_stays(path: Path) -> None:
    document = TokenDocument(path)
    document.add("third", _table(subscribe=["app.>"]))
    document.remove("second")
    text = path.read_text()
    for line in ("# ours", "[tokens.first]  # the shop", 'publish = ["app.>"] # all of it', "# everybody"):
        assert line in text.splitlines()
    found = read_token_file(path)
    assert sorted(one.name for one in found) == ["anonymous", "first", "third"]
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_new_file_is_private_and_an_empty_one_is_readable(tmp_path: Path) -> None:
    path = tmp_path / "new.toml"
    TokenDocument(path).add("only", _table())
    assert path.stat().st_mode & 0o777 == 0o600
    TokenDocument(path).remove("only")
    path.write_text('[certs."shop.example"]')
    TokenDocument(path).remove("shop.example")
    assert len(read_token_file(path)) == 0
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "rights", "said"),
    [
        ("first", {}, "is in .* already"),
        ("a b", {}, "malformed"),
        ("anonymous", {}, "brings no token"),
        ("new", {"publish": ["app"]}, "has no dot"),
        ("new", {"consumers": ["a b"]}, "no consumer's name"),
    ],
)
def test_what_no_server_could_read_is_not_written(
    path: Path, name: str, rights: dict[str, list[str]], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        TokenDocument(path).add(name, _table(**rights))
    assert path.read_text() == COMMENTED


def test_a_link_stays_one(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.toml"
    link.symlink_to(path)
    TokenDocument(link).remove("first")
    assert link.is_symlink() and len(read_token_file(path)) == 1


# -- the command


def test_the_life_of_a_token(tmp_path: Path) -> None:
    env = {"BUS_AUTH": str(tmp_path / "tokens.toml")}
    limits = ("--limit-requests", "5/s", "--limit-streams", "0")
    made = run_bus("token", "add", "a", "--publish", "app.>", "--expires", "1h", *limits, env=env)
    token = made.stdout.decode().removesuffix("\n")
    assert made.returncode == 0 and is_token(token) and token.encode() not in made.stderr
    assert token not in Path(env["BUS_AUTH"]).read_text()
    (row,) = run_bus("token", "list", env=env).stdout.splitlines()
    shown = msgspec.json.decode(row)
    assert (shown["kind"], shown["rights"]) == ("token", "publish app.>")
    assert shown["limits"] == "requests 5/s; streams 0"
    assert run_bus("token", "revoke", "a", env=env).returncode == 0
    assert run_bus("token", "list", env=env).stdout == b""
    again = run_bus("token", "revoke", "a", env=env)
    assert again.returncode == 2 and b"is not in" in again.stderr


def test_certificates_are_listed_and_checked(path: Path) -> None:
    path.write_text(f'{COMMENTED}[certs."shop.example"]\npublish = ["app.>"]\n')
    env = {"BUS_AUTH": str(path)}
    rows = [msgspec.json.decode(row) for row in run_bus("token", "list", env=env).stdout.splitlines()]
    assert [(row["kind"], row["name"]) for row in rows] == [
        ("token", "first"), ("token", "second"), ("certificate", "shop.example")
    ]  # fmt: skip
    assert run_bus("token", "check", "shop.example", "publish", "app.a", env=env).stdout == b"yes\n"
    refused = run_bus("token", "check", "shop.example", "reply", env=env)
    assert refused.stderr == b"bus: no: certificate shop.example has no reply that covers this\n"
    TokenDocument(path).add("third", _table())
    assert '[certs."shop.example"]' in path.read_text()
    assert run_bus("token", "revoke", "shop.example", env=env).returncode == 0
    assert "shop.example" not in path.read_text()


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        (("publish", "app.a"), 0, "yes"),
        (("publish", "orders.a"), 1, "no: token a has no publish that covers orders.a"),
        (("subscribe", "app.*"), 0, "yes"),
        (("subscribe", "app.>"), 1, "no: token a has no subscribe that covers app.>"),
        (("consumers", "billing-2"), 0, "yes"),
        (("manage", "billing"), 0, "yes"),
        (("manage", "app.a"), 0, "yes"),
        (("manage", "other"), 1, "no: token a has no manage that covers other"),
        (("reply",), 0, "yes"),
        (("metrics",), 1, "no: token a has no metrics that covers this"),
        (("admin",), 1, "no: token a has no admin that covers this"),
        (("publish",), 2, "publish needs what it is about"),
        (("reply", "app.a"), 2, "reply takes nothing more"),
        (("publish", "app.*"), 1, "has a wildcard"),
        ((), 2, "check needs a RIGHT"),
    ],
)
def test_checking(checked: dict[str, str], asked: tuple[str, ...], status: int, said: str) -> None:
    done = run_bus("token", "check", "a", *asked, env=checked)
    assert (done.returncode, said in (done.stdout + done.stderr).decode()) == (status, True), done


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    path = tmp_path_factory.mktemp("checked") / "tokens.toml"
    table = TokenTable(
        hash=hash_of(new_token()),
        publish=["app.>"],
        subscribe=["app.*"],
        consumers=["billing-*"],
        manage=["billing", "app.a"],
        reply=True,
    )
    TokenDocument(path).add("a", table)
    return {"BUS_AUTH": str(path)}


def test_an_expired_token_may_nothing(tmp_path: Path) -> None:
    env = {"BUS_AUTH": str(tmp_path / "tokens.toml")}
    run_bus("token", "add", "a", "--admin", "--expires", "2020-01-01T00:00:00Z", env=env)
    done = run_bus("token", "check", "a", "admin", env=env)
    assert (done.returncode, done.stderr) == (1, b"bus: no: token a has expired\n")
    odd = run_bus("token", "add", "b", "--expires", "soon", env=env)
    assert odd.returncode == 2 and b"--expires 'soon' can't be read" in odd.stderr
