"""The setups that the operations page shows are those that are tested."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.proxies.support import KINDS, OIDC, Kind

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


@pytest.mark.parametrize("kind", [*KINDS.values(), *OIDC.values()], ids=lambda kind: kind.setup.name)
def test_the_page_shows_the_file(kind: Kind) -> None:
    assert f"\n{kind.setup.read_text()}```\n" in PAGE.read_text()
