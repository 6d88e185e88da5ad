"""Run ``python -m bus …`` so that nothing of it is synced but what SQLite writes.

without_syncs.py -- python -m bus server …
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from runpy import run_module

WITHOUT_SYNCS = [sys.executable, str(Path(__file__)), "--"]
"""The wrapper of such a server."""


def _return_at_once(descriptor: int) -> None:
    """In the place of a sync."""


if __name__ == "__main__":
    vars(os).update(fsync=_return_at_once, fdatasync=_return_at_once)
    sys.argv = sys.argv[sys.argv.index("--") + 3 :]
    sys.path.insert(0, str(Path.cwd()))  # as python -m does
    run_module(sys.argv[0], run_name="__main__")
