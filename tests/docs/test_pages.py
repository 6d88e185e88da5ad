"""README and docs are true: what they show runs, what they list exists, and their links lead somewhere."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest

import bus.engine.pending
from bus.config import Settings
from bus.errors import (
    BusError,
    ConfigError,
    ConnectionFailedError,
    DirectoryLockedError,
    LogVersionError,
    RejectError,
    WrongKeyError,
)
from tests.conftest import StartServer
from tests.docs.blocks import ROOT, Block, blocks_of, run_blocks
from tests.support import PATIENCE, ServerProcess, request

README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
RUN_ELSEWHERE = {"docs/sdk.md"}  # by tests/client/test_docs.py
NEVER_SENT = {
    ConfigError,
    ConnectionFailedError,
    RejectError,
    WrongKeyError,
    LogVersionError,
    DirectoryLockedError,
}
PAGES = [README, *DOCS, *sorted((ROOT / "examples").rglob("*.md"))]

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)#\s]*)(#[^)\s]*)?\)")


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


BLOCKS = {_name(page): blocks_of(page) for page in PAGES}


def _run_on(page: str) -> list[Block]:
    return [block for block in BLOCKS[page] if not block.not_run]


@pytest.mark.skipif(not shutil.which("curl"), reason="the pages use curl, which isn't installed")
@pytest.mark.parametrize("page", [page for page in BLOCKS if _run_on(page) and page not in RUN_ELSEWHERE])
def test_every_command_and_program_works_as_it_stands(page: str, start_server: StartServer, tmp_path: Path) -> None:
    directory = tmp_path / "reader"
    directory.mkdir()
    run_blocks(_run_on(page), start_server(tmp_path / "server"), directory)


def test_what_is_not_run_is_known() -> None:
    not_run = [(block.page, block.not_run) for blocks in BLOCKS.values() for block in blocks if block.not_run]
    assert not_run == [
        ("README.md", "makes a virtual environment, takes port 2021, and runs this test"),
        ("README.md", "installs from the package index"),
        ("docs/durability.md", "takes ten minutes"),
        ("docs/from-go.md", "needs a Go server"),
        ("docs/index.md", "installs from the package index"),
        ("docs/operations.md", "installs from the package index"),
        ("docs/operations.md", "would publish what is there already"),
        ("examples/chat/README.md", "opens a browser"),
    ]


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


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in _LINK.findall(page.read_text()):
        if "://" in target:
            continue
        found = page.parent / target if target else page
        assert found.exists(), f"{_name(page)} links to {target}, which isn't there"
        assert not anchor or anchor[1:] in _anchors(found), f"{_name(page)} links to {target}{anchor}"


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_the_settings_of_the_readme_are_those_of_the_server() -> None:
    rows = re.findall(r"^\| `--(\S+)` \| `(BUS_\w+)` \| (.+?) \|", README.read_text(), re.MULTILINE)
    assert rows == [
        (
            field.name.replace("_", "-"),
            field.metadata["variable"],
            f"`{field.metadata['default']}`" if field.metadata["default"] else field.metadata["shown"],
        )
        for field in dataclasses.fields(Settings)
    ]


def test_the_errors_of_the_http_page_are_those_of_the_server() -> None:
    page = (ROOT / "docs" / "http-api.md").read_text()
    listed = {code: int(status) for status, code in re.findall(r"^\| (\d{3}) \| `([a-z-]+)` \|", page, re.MULTILINE)}
    assert listed == {error.code: error.status for error in _errors(BusError) if error not in NEVER_SENT}


def _errors(kind: type[BusError]) -> list[type[BusError]]:
    """The tree of errors, without what others derive from it for themselves."""
    known = [below for below in kind.__subclasses__() if below.__module__ == BusError.__module__]
    return [kind, *(error for below in known for error in _errors(below))]


def test_the_diagram_of_delivery_is_that_of_the_code() -> None:
    drawn = re.search(r"```\n(.*?)```", (ROOT / "docs" / "delivery.md").read_text(), re.DOTALL)
    assert drawn and textwrap.indent(drawn[1], "    ") in (bus.engine.pending.__doc__ or "")


def test_the_metrics_of_the_operations_page_are_those_of_the_server(server: ServerProcess) -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    listed = re.findall(r"^\| `(bus_\w+)` \|", page, re.MULTILINE)
    served = re.findall(r"^# TYPE (\w+)", request(server, "GET", "/metrics").text, re.MULTILINE)
    assert listed == served
