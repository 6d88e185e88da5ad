"""How this Bus was built: from its sources as they are, or with the modules that events pass compiled."""

from __future__ import annotations

COMPILED = not __file__.endswith(("py", "pyc"))
"""Of itself this module tells of all: it is compiled with them."""

BUILD = "compiled" if COMPILED else "pure"
