"""What pages show without running it, held to the real thing: events, receipts, sessions of Python."""

from __future__ import annotations

import doctest
import json
from pathlib import Path
from typing import Any

import pytest
import trustme

from bus.event import index_in
from bus.wire import NDJSON
from tests.docs.blocks import ROOT, Block, blocks_of
from tests.support import ServerProcess, request, run_bus

PAGES = sorted((ROOT / "docs").glob("*.md"))


def _blocks(language: str) -> list[Block]:
    return [block for page in PAGES for block in blocks_of(page, languages=[language])]


@pytest.mark.parametrize("block", _blocks("json"), ids=str)
def test_json_is_like_what_the_server_sends(block: Block, server: ServerProcess) -> None:
    shown = json.loads(block.text)
    draft = json.dumps({"subject": shown.get("subject", "app.test"), "payload": shown.get("payload")})
    receipt = run_bus("put", "--stdin", "--host", server.url, stdin=draft.encode()).stdout
    event = request(server, "GET", f"/?subject={shown.get('subject')}&start=oldest&follow=false", Accept=NDJSON).body
    assert _shape(shown) == _shape(json.loads(event if "subject" in shown else receipt))
    assert index_in(shown["id"]) == shown["index"] or "…" in shown["id"]


def _shape(value: Any) -> object:
    """The names of an object in their order, the type of anything else."""
    return [(name, _shape(inner)) for name, inner in value.items()] if isinstance(value, dict) else type(value)


@pytest.mark.parametrize("block", _blocks("pycon"), ids=str)
def test_a_session_goes_as_shown(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.chdir(tmp_path)
    session = doctest.DocTestParser().get_doctest(block.text, {}, str(block), None, None)
    assert session.examples
    assert doctest.DocTestRunner().run(session).failed == 0
