"""The JavaScript of docs/any-language.md runs and prints what the page says; its setup of nginx is the tested one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage

from tests.docs.blocks import ROOT, Block, blocks_of
from tests.proxies.support import SITE, Proxy
from tests.support import PATIENCE, ServerProcess
from tests.third_party.client import HERE
from tests.third_party.conftest import need_packages

PAGE = ROOT / "docs" / "any-language.md"
BLOCKS = blocks_of(PAGE, languages=["javascript"])


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.marker != "node"], ids=str)
def test_it_runs_in_a_browser(block: Block, server: ServerProcess, browser: Browser, site: Proxy) -> None:
    need_packages()
    printed: list[str] = []

    def is_complete(message: ConsoleMessage) -> bool:
        printed.append(message.text)
        return block.is_printed("\n".join(printed))

    with browser.new_page() as page:
        page.goto(f"{site.url}/js/page.html")
        with page.expect_console_message(is_complete, timeout=PATIENCE * 1000):
            page.add_script_tag(content=block.on(server).text, type="module")


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.marker == "node"], ids=str)
def test_it_runs_in_node(block: Block, server: ServerProcess, tmp_path: Path) -> None:
    need_packages()
    (tmp_path / "node_modules").symlink_to(HERE / "node_modules")
    (tmp_path / "block.mjs").write_text(block.on(server).text)
    done = subprocess.run(["node", "block.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    assert block.is_printed(done.stdout)


def test_the_page_shows_the_setup_of_the_site() -> None:
    assert f"\n{SITE.setup.read_text()}```\n" in PAGE.read_text()
