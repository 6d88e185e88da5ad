"""The JavaScript of the pages that are read first runs in a browser and prints what they say."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage

from tests.docs.blocks import ROOT, blocks_of, run_blocks
from tests.support import PATIENCE, ServerProcess


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_it_runs_in_a_browser(page: str, server: ServerProcess, browser: Browser, tmp_path: Path) -> None:
    directory = tmp_path / "reader"
    directory.mkdir()
    run_blocks(blocks_of(ROOT / page), server, directory)
    (block,) = blocks_of(ROOT / page, languages=["javascript"])
    printed: list[str] = []

    def is_complete(message: ConsoleMessage) -> bool:
        printed.append(message.text)
        return block.is_printed("\n".join(printed))

    with browser.new_page() as tab:
        tab.goto(f"{server.url}/healthz")
        with tab.expect_console_message(is_complete, timeout=PATIENCE * 1000):
            tab.add_script_tag(content=block.on(server).text, type="module")
    assert block.prints
