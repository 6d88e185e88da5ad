"""How this Bus was built: all hot modules are compiled, or none is, and what mypyc would spoil isn't among them."""

from __future__ import annotations

import tomllib
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest

import bus
from bus.build import BUILD, COMPILED
from tools.compiled_wheel import SOURCES, hot_modules

HOOK = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"][
    "custom"
]
HOT = hot_modules(HOOK["modules"], HOOK["left-as-they-are"])


@pytest.mark.parametrize("path", HOT, ids=str)
def test_a_hot_module_is_compiled_as_all_are(path: Path) -> None:
    module = import_module(".".join(path.relative_to(SOURCES).with_suffix("").parts))
    assert (module.__file__ or "").endswith(".so" if COMPILED else ".py")


def test_every_module_can_be_imported() -> None:
    """A class that isn't compiled can't inherit from one that is."""
    for found in walk_packages(bus.__path__, "bus."):
        if found.name != "bus.__main__":
            import_module(found.name)


def test_every_pattern_of_a_hot_module_takes_one() -> None:
    assert all(hot_modules([pattern], HOOK["left-as-they-are"]) for pattern in HOOK["modules"])
    assert all((SOURCES / name).exists() for name in HOOK["left-as-they-are"])


def test_modules_with_structs_are_left_as_they_are() -> None:
    found = hot_modules(["bus/frame_fields.py", "bus/storage/batch.py", "bus/subject.py"], [])
    assert found == [SOURCES / "bus/subject.py"]


def test_the_build_has_a_name() -> None:
    assert ("compiled" if COMPILED else "pure") == BUILD
