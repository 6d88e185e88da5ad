"""README and docs are true: what they show runs, what they list exists, and their links lead somewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import textwrap
import tomllib
from pathlib import Path

import pytest

import bus.engine.consumer.why
from bus.config.options import OPTIONS
from tests.conftest import StartServer
from tests.docs.blocks import ROOT, RUNNABLE, Block, blocks_of, run_blocks
from tests.support import PATIENCE

README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [README, *DOCS, *sorted((ROOT / "examples").rglob("*.md"))]
ABOUT = [ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")]

# What is neither run as it stands nor a picture, and where it is held to what it shows.
CHECKED_IN = {
    ("README.md", "javascript"): "tests/third_party/test_first_pages.py",
    ("docs/access.md", "javascript"): "tests/third_party/test_sessions.py",
    ("docs/access.md", "toml"): "tests/access/test_token_file.py",
    ("docs/access.md", "yaml"): "tests/docs/test_operations.py",
    ("docs/any-language.md", "javascript"): "tests/third_party/test_page.py",
    ("docs/any-language.md", "nginx"): "tests/third_party/test_page.py",
    ("docs/cli.md", ""): "tests/cli/test_docs.py",
    ("docs/cli.md", "json"): "tests/docs/test_shown.py",
    ("docs/cli.md", "toml"): "tests/cli/test_docs.py",
    ("docs/concepts.md", "json"): "tests/docs/test_shown.py",
    ("docs/delivery.md", ""): "tests/docs/test_pages.py",
    ("docs/index.md", "javascript"): "tests/third_party/test_first_pages.py",
    ("docs/install.md", "ini"): "tests/docs/test_pages.py",
    ("docs/operations.md", "caddyfile"): "tests/proxies/test_page.py",
    ("docs/operations.md", "haproxy"): "tests/proxies/test_page.py",
    ("docs/operations.md", "nginx"): "tests/proxies/test_page.py",
    ("docs/operations.md", "pycon"): "tests/docs/test_shown.py",
    ("docs/operations.md", "yaml"): "tests/docs/test_operations.py",
}
PICTURES = {"docs/architecture.md", "docs/concepts.md", "docs/format.md", "docs/tracing.md"}

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)#\s]*)(#[^)\s]*)?\)")


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


BLOCKS = {_name(page): blocks_of(page) for page in PAGES}


def _run_on(page: str) -> list[Block]:
    return [block for block in BLOCKS[page] if not block.not_run]


@pytest.mark.skipif(not shutil.which("curl"), reason="the pages use curl, which isn't installed")
@pytest.mark.parametrize("page", [page for page in BLOCKS if _run_on(page)])
def test_every_command_and_program_works_as_it_stands(page: str, start_server: StartServer, tmp_path: Path) -> None:
    directory = tmp_path / "reader"
    directory.mkdir()
    run_blocks(_run_on(page), start_server(tmp_path / "server"), directory)


def test_what_is_not_run_is_known() -> None:
    not_run = [(block.page, block.not_run) for blocks in BLOCKS.values() for block in blocks if block.not_run]
    assert not_run == [
        ("README.md", "makes a virtual environment, takes port 2021, and runs this test"),
        ("README.md", "is for the environment that make has set up"),
        ("README.md", "installs into an environment of its own"),
        ("docs/benchmarks.md", "takes half an hour and installs servers"),
        ("docs/durability.md", "takes ten minutes"),
        ("docs/index.md", "makes a virtual environment and takes port 2021"),
        ("docs/index.md", "is for the environment that make has set up"),
        ("docs/install.md", "installs into an environment of its own"),
        ("docs/install.md", "installs into an environment of its own"),
        ("docs/install.md", "takes minutes and a C compiler"),
        ("docs/install.md", "takes minutes and a network"),
        ("docs/install.md", "needs a container engine"),
        ("docs/install.md", "needs a container engine"),
        ("docs/install.md", "installs into the system, as root"),
        ("docs/install.md", "changes the system"),
        ("docs/install.md", "needs a cluster"),
        ("docs/sdk.md", "installs into an environment of its own"),
        ("examples/chat/README.md", "opens a browser"),
    ]


def test_what_is_not_run_is_checked_in_another_way() -> None:
    found = {(block.page, block.language) for page in PAGES for block in blocks_of(page, languages=None)}
    not_run = {(page, language) for page, language in found if language not in RUNNABLE}
    assert not_run == CHECKED_IN.keys() | {(page, "") for page in PICTURES}
    assert all((ROOT / test).exists() for test in CHECKED_IN.values())


def test_make_serve_runs_the_server_that_the_readme_says() -> None:
    planned = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "serve"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert planned.stdout.splitlines()[-1].endswith(
        "bus server --addr :2021 --path ./data --namespaces app,orders,github"
    )


def test_the_unit_of_the_install_page_is_the_one_to_install() -> None:
    shown = re.search(r"```ini\n(.*?)```", (ROOT / "docs" / "install.md").read_text(), re.DOTALL)
    assert shown and shown[1] == (ROOT / "deploy" / "systemd" / "bus.service").read_text()


@pytest.mark.parametrize("page", [*PAGES, *ABOUT], ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in _LINK.findall(page.read_text()):
        if "://" in target:
            continue
        found = page.parent / target if target else page
        assert found.exists(), f"{_name(page)} links to {target}, which isn't there"
        assert not anchor or anchor[1:] in _anchors(found), f"{_name(page)} links to {target}{anchor}"


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_every_page_is_found_from_the_first_ones(page: str) -> None:
    linked = {Path(target).name for target, _ in _LINK.findall((ROOT / page).read_text())}
    assert {path.name for path in DOCS} - {"index.md"} <= linked


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_the_settings_of_the_readme_are_those_of_the_server() -> None:
    rows = re.findall(r"^\| `--(\S+)` \| `(BUS_\w+)` \| (.+?) \|", README.read_text(), re.MULTILINE)
    assert rows == [
        (
            option.flag.removeprefix("--"),
            option.variable,
            f"`{option.default}`" if option.default else option.shown,
        )
        for option in OPTIONS
    ]


def test_the_diagram_of_delivery_is_that_of_the_code() -> None:
    page = (ROOT / "docs" / "delivery.md").read_text()
    code = (ROOT / "src/bus/engine/consumer/pending.py").read_text()
    drawn = re.search(r"```\n(.*?)```\n\n(1\. .*?)\n\n", page, re.DOTALL)
    assert drawn and textwrap.indent(drawn[1], "    ") in code
    assert drawn[2] in code, "the rules are the same, too"


def test_the_answers_of_why_are_those_of_the_code() -> None:
    page = (ROOT / "docs" / "delivery.md").read_text()
    table = page.partition("| answer | means |")[2].partition("\n\n")[0]
    shown = re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE)
    forms = [re.sub(r"\\\{\w+\\\}", ".+?", re.escape(answer)) for answer in bus.engine.consumer.why.ANSWERS]
    found = [[answer for answer in shown if re.fullmatch(form, answer)] for form in forms]
    assert sorted(answer for answers in found for answer in answers) == sorted(shown)
    assert all(len(answers) == 1 for answers in found), "each answer has its line"


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_the_layers_are_those_that_are_checked(page: str) -> None:
    drawn = re.search(r"^```\n(cli\n.*?)^```$", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    checked = project["tool"]["importlinter"]["contracts"][0]["layers"]
    assert drawn and [line.partition("  ")[0] for line in drawn[1].splitlines()] == checked[1:]


def test_files_that_contributors_are_sent_to_are_there() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text()
    files = set(re.findall(r"`([a-z_/]+(?:\.py|\.json|\.md))`", page)) - {"conftest.py"}
    assert len(files) > 40
    missing = [name for name in files if not any((ROOT / place / name).exists() for place in ("", "src", "src/bus"))]
    assert not missing


def test_what_the_glossary_names_is_where_it_says() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("## Glossary")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\*\*.+?) \| (.+?) \| (.+?) \|$", table, re.MULTILINE)
    assert len(rows) > 30
    for _, meaning, homes in rows:
        source = "".join((ROOT / "src" / "bus" / home).read_text() for home in re.findall(r"`(.+?)`", homes))
        for name in re.findall(r"`([A-Z][A-Za-z]+)`", meaning):
            assert re.search(rf"^(?:class )?{name}\b", source, re.MULTILINE), name
