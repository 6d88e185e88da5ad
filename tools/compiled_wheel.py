"""Hatch's hook for a compiled wheel: mypyc makes native modules of the hot ones, which lie beside their sources.

    HATCH_BUILD_HOOK_ENABLE_CUSTOM=true python -m hatchling build -t wheel

Python prefers a native module to its source: the wheel is the one that everybody can install, and this on top. Which
modules are hot is said by patterns in pyproject.toml. Those of them that define a `msgspec.Struct` stay as they are,
because mypyc forgets the keywords of such a class (``frozen``) and the types of its fields.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path
from sysconfig import get_config_var
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from mypyc.build import mypycify
from setuptools import Distribution
from setuptools.command.build_ext import build_ext

SOURCES = Path("src")
OPTIMIZATION = "1"
"""Of the C compiler. What mypyc makes is calls of Python's own functions, which -O2 doesn't make faster."""


class CompiledWheel(BuildHookInterface[Any]):
    """Adds native modules to a wheel, and says which Python and machine it is for."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        # Left there, so that building again compiles only what has changed.
        work = Path(self.root, "build", "mypyc", str(get_config_var("SOABI")))
        modules = hot_modules(self.config["modules"], self.config["left-as-they-are"])
        for native in compile_modules(modules, work):
            build_data["force_include"][str(native)] = str(native.relative_to(work / "lib"))
        build_data.update(pure_python=False, infer_tag=True)


def hot_modules(patterns: Iterable[str], left_as_they_are: Iterable[str]) -> list[Path]:
    """The files that *patterns* take and mypyc can compile, without those *left as they are*."""
    left = {SOURCES / name for name in left_as_they_are}
    taken = {path for pattern in patterns for path in SOURCES.glob(pattern)} - left
    return sorted(path for path in taken if path.name != "__init__.py" and not _has_structs(path))


def _has_structs(path: Path) -> bool:
    classes = (node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.ClassDef))
    return any(ast.unparse(base).endswith("Struct") for found in classes for base in found.bases)


def compile_modules(modules: Iterable[Path], work: Path) -> list[Path]:
    """Native modules made of *modules*, in *work*/lib as they lie in a package.

    All are one library, in which calls from module to module are direct; what Python imports by name only points there.
    """
    extensions = mypycify(
        ["--config-file=pyproject.toml", f"--cache-dir={work / 'types'}", *map(str, modules)],
        opt_level=OPTIMIZATION,
        debug_level="0",
        target_dir=str(work / "c"),
        group_name="bus",
    )
    command = build_ext(Distribution({"ext_modules": extensions}))
    command.build_lib, command.build_temp = str(work / "lib"), str(work / "objects")
    command.ensure_finalized()
    command.run()
    return [Path(output) for output in command.get_outputs()]
