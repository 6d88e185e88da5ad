"""Clusters are put to faults only when asked for by name (``pytest tests/cluster``, ``make cluster``): it takes time.

``FAULTS=short``, the default, does each once; ``FAULTS=full`` many times. At the end stand the figures.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.faults.conftest import figure, pytest_terminal_summary
from tests.nats.servers import Servers
from tests.support import ServerProcess

__all__ = ["figure", "pytest_terminal_summary", "three", "two"]


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Servers]:
    """A cluster whose disks are synced before it acknowledges."""
    with Servers(tmp_path, count=3) as servers:
        yield servers


@pytest.fixture
def two(tmp_path: Path, three: Servers) -> Iterator[list[ServerProcess]]:
    """Two Bus servers that serve the same namespaces, in front of whatever cluster *three* is."""
    env = {"BUS_ENGINE": f"{three.url}/bus"}
    with ExitStack() as stack:
        yield [stack.enter_context(closing(ServerProcess(tmp_path / f"bus{n}", env=env))) for n in range(2)]
