"""What the blocking client has in common with the asyncio one is made of it, and says what it is."""

from __future__ import annotations

import inspect
import runpy
from collections.abc import Callable
from typing import Any

import pytest

import bus
from tests.docs.blocks import ROOT

GENERATOR = runpy.run_path(str(ROOT / "tools" / "generate_blocking.py"))

ONLY_ASYNC = {"max_connections"}


@pytest.mark.parametrize("name", GENERATOR["MODULES"])
def test_a_generated_module_is_what_the_generator_makes(name: str) -> None:
    generate: Callable[[str], str] = GENERATOR["generate"]
    home = ROOT / "src" / "bus" / "client" / "blocking" / f"{name}.py"
    assert home.read_text() == generate(name), "run `make generate`"


@pytest.mark.parametrize("name", GENERATOR["MODULES"])
def test_nothing_asynchronous_is_left(name: str) -> None:
    text = (ROOT / "src" / "bus" / "client" / "blocking" / f"{name}.py").read_text()
    code = text.partition("make generate")[2]
    assert not [word for word in ("async", "await", "Async", "aio", "coroutine") if word in code]


@pytest.mark.parametrize("name", ["Client", "Delivery", "Stream", "Worker"])
def test_both_clients_take_the_same(name: str) -> None:
    assert _signatures(getattr(bus, name)) == _signatures(getattr(bus, f"Async{name}"))


def _signatures(kind: type[Any]) -> dict[str, list[str]]:
    """The parameters of each public method, and of making one."""
    return {
        method: [parameter for parameter in inspect.signature(function).parameters if parameter not in ONLY_ASYNC]
        for method, function in vars(kind).items()
        if inspect.isfunction(function) and (not method.startswith("_") or method == "__init__")
        if method != "wake"  # a thread looks at the clock while it reads
    }
