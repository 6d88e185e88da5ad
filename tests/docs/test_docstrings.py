"""What the SDK reference is set from: docstrings list the parameters, in order, and the errors by their names."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

import bus
from bus.client import EventFields
from bus.event import Dead
from tests.docs.blocks import ROOT

LEFT_OUT = (
    "open",
    "settle",
    "serve",
    "wake",
    "subscribe",
    "trace",
    "spans",
)  # between a client, a stream, its events and its worker; mkdocs.yml leaves it out, too
_REFERS = re.compile(r"see \[Client\.\w+\]\[bus\.Client\.\w+\]")
_SECTION = r"^{}:\n((?: {{4,}}.*\n|\n)+)"


def test_the_reference_has_everything_that_is_exported() -> None:
    page = (ROOT / "docs" / "sdk-reference.md").read_text()
    assert set(re.findall(r"^::: bus\.(\w+)$", page, re.MULTILINE)) == set(bus.__all__)


def _documented() -> Iterator[tuple[str, Callable[..., Any], str]]:
    """Each class and public method of the SDK that has parameters of its own, with its docstring."""
    for name in bus.__all__:
        kind = getattr(bus, name)
        if "Parameters:" in (kind.__doc__ or ""):
            yield name, kind, inspect.getdoc(kind) or ""
        for method, function in vars(kind).items():
            if inspect.isfunction(function) and not method.startswith("_") and method not in LEFT_OUT:
                yield f"{name}.{method}", function, inspect.getdoc(function) or ""


DOCUMENTED = {name: (function, doc) for name, function, doc in _documented()}


def _section(doc: str, title: str) -> list[str]:
    """The names that a section of a docstring lists."""
    found = re.search(_SECTION.format(title), doc + "\n", re.MULTILINE)
    return re.findall(r"^ {4}(\w+): ", found[1], re.MULTILINE) if found else []


@pytest.mark.parametrize("name", DOCUMENTED)
def test_parameters_and_errors_are_listed(name: str) -> None:
    function, doc = DOCUMENTED[name]
    taken = [parameter for parameter in inspect.signature(function).parameters if parameter != "self"]
    assert _section(doc, "Parameters") == taken or _REFERS.search(doc)
    for error in _section(doc, "Raises"):
        assert error in bus.__all__


@pytest.mark.parametrize(
    "kind",
    [
        bus.Event,
        bus.Receipt,
        bus.Gap,
        bus.Dropped,
        Dead,
        bus.ConsumerDescription,
        bus.PendingDeliveries,
        bus.PendingDelivery,
        bus.ConsumerConnection,
        bus.Move,
    ],
)
def test_the_fields_of_what_comes_are_listed(kind: type[msgspec.Struct]) -> None:
    assert _section(inspect.getdoc(kind) or "", "Attributes") == list(kind.__struct_fields__)


def test_the_fields_of_what_is_sent_are_listed() -> None:
    assert _section(inspect.getdoc(EventFields) or "", "Attributes") == list(EventFields.__annotations__)
