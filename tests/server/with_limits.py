"""Run ``python -m bus …`` with other values of the constants in ``bus.server.http.limits``.

with_limits.py NAME=value … -- python -m bus server …
"""

from __future__ import annotations

import sys
from pathlib import Path
from runpy import run_module

from bus.server.http import limits

if __name__ == "__main__":
    end = sys.argv.index("--")
    for name, _, value in (argument.partition("=") for argument in sys.argv[1:end]):
        setattr(limits, name, type(getattr(limits, name))(value))
    sys.argv = sys.argv[end + 3 :]
    sys.path.insert(0, str(Path.cwd()))  # as python -m does
    run_module(sys.argv[0], run_name="__main__")
