"""A nats-server for all tests of the client that leave it as it is, and clients of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from typing import Any, TypeVar

import pytest

from bus.nats import Client, Location, connect
from tests.nats.servers import Servers
from tests.support import PATIENCE

_T = TypeVar("_T")
_numbers = count(1)


@pytest.fixture(scope="session")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """One node, shared: use names of your own."""
    with Servers(tmp_path_factory.mktemp("nats")) as servers:
        yield servers


@pytest.fixture
def name() -> str:
    """A name nobody else uses."""
    return f"test{next(_numbers)}"


Run = Callable[[Callable[[Client], Awaitable[None]]], None]


@pytest.fixture
def run(nats: Servers) -> Run:
    """Run a coroutine function with a client of the shared node."""
    return lambda function: run_with(nats.url, function)


def run_with(
    url: str, function: Callable[[Client], Awaitable[_T]], *, patience: float = PATIENCE, **options: Any
) -> _T:
    """Run *function* with a client connected to *url*, and return what it returns."""

    async def main() -> _T:
        client = await connect(Location.parse(url), **options)
        try:
            async with asyncio.timeout(patience):
                return await function(client)
        finally:
            await client.close()

    return asyncio.run(main())
