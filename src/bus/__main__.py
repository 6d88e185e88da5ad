"""The ``bus`` command: the console script and ``python -m bus``."""

from __future__ import annotations

import sys

from bus.cli.standard_streams import secure


def main() -> int:
    """Run the command line that the process was given and return its exit status.

    A plain ``pip install busd`` brings the SDK alone; what is missing for a command is then named in one line.
    """
    secure()
    try:
        from bus.cli.main import run

        return run(sys.argv[1:])
    except ModuleNotFoundError as error:
        if (error.name or "bus").split(".")[0] == "bus":
            raise
        print(f'bus: {error.name} is not installed: pip install "busd[server]"', file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
