"""Proxies for tests: each kind in turn, with certificates of a test's own authority."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
import trustme

from tests.proxies.support import KINDS, Proxy, is_installed
from tests.support import Listening


class StartProxy(Protocol):
    """Starts a proxy in front of a server; keyword arguments are those of `Proxy`."""

    def __call__(self, server: Listening, **options: Any) -> Proxy: ...


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Who signs the certificates of proxies."""
    return trustme.CA()


@pytest.fixture(params=KINDS)
def start_proxy(request: pytest.FixtureRequest, tmp_path: Path, authority: trustme.CA) -> Iterator[StartProxy]:
    """A function that starts proxies of one kind, which end with the test."""
    kind: str = request.param
    if not is_installed(kind):
        pytest.skip(f"{kind} isn't installed")
    started: list[Proxy] = []

    def start(server: Listening, **options: Any) -> Proxy:
        directory = tmp_path / f"{kind}-{len(started)}"
        started.append(Proxy(KINDS[kind], server, directory, authority, **options))
        started[-1].start()
        return started[-1]

    yield start
    for proxy in started:
        proxy.stop()
