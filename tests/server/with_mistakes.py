"""Run ``python -m bus …`` with methods that raise what nobody expects.

with_mistakes.py MODULE:CLASS.METHOD … -- python -m bus server …

Each raises from its first call on, or with ``@3`` behind it from its third. In place of a compiled server that of the
sources runs, because compiled modules call each other past what is set in them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from runpy import run_module
from typing import Any

SOURCES = Path(__file__).parents[2] / "src"


def is_compiled() -> bool:
    """Whether the package that would be imported is, which importing it would settle."""
    found = find_spec("bus")
    assert found and found.origin
    return any(Path(found.origin).parent.glob("build.*.so"))


def break_method(place: str, *, after: int) -> None:
    """Let the method at *place* raise from the call number *after* on."""
    module, _, path = place.partition(":")
    name, _, method = path.partition(".")
    owner = getattr(import_module(module), name)
    setattr(owner, method, _raising(getattr(owner, method), after))


def _raising(works: Callable[..., Any], after: int) -> Callable[..., Any]:
    calls = 0

    def raising(*args: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls >= after:
            raise RuntimeError("on purpose")
        return works(*args, **named)

    return raising


if __name__ == "__main__":
    if is_compiled():
        sys.path.insert(0, str(SOURCES))
    end = sys.argv.index("--")
    for argument in sys.argv[1:end]:
        place, _, number = argument.partition("@")
        break_method(place, after=int(number or 1))
    sys.argv = sys.argv[end + 3 :]
    sys.path.insert(0, str(Path.cwd()))  # as python -m does
    run_module(sys.argv[0], run_name="__main__")
