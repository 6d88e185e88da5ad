"""Plants each mistake in a copy of the package, runs the tests that must notice, and says whether they did.

python -m tests.faults.mistakes.planting            all of them
python -m tests.faults.mistakes.planting sync key   those with one of these words in what they are
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.faults.mistakes.catalogue import MISTAKES, Mistake
from tests.support import clean_environment

ROOT = Path(__file__).parents[3]
PATIENCE = 300.0
"""Seconds that the tests of one mistake may take; a mistake may well make one hang."""

_PASSED, _FAILED = 0, 1


class NotPlantedError(Exception):
    """The source has changed so that the mistake can't be made any more."""


def plant(mistake: Mistake, package: Path) -> None:
    """Make *mistake* in the copy of the package at *package*."""
    file = package / mistake.file
    text = file.read_text()
    for there, instead in mistake.edits:
        if there not in text:
            raise NotPlantedError(f"{mistake.what}: {mistake.file} doesn't have {there!r}")
        text = text.replace(there, instead)
    file.write_text(text)


@contextmanager
def copy_of_package() -> Iterator[Path]:
    """A copy of ``src/bus`` in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="bus-mistake-") as directory:
        package = Path(directory) / "bus"
        shutil.copytree(ROOT / "src" / "bus", package, ignore=shutil.ignore_patterns("__pycache__"))
        yield package


def succeeds(package: Path, tests: Sequence[str]) -> bool:
    """Run *tests* on the copy at *package*, up to the first failure. A time-out is a failure."""
    aside = package.parent
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", f"--basetemp={aside / 'tmp'}", *tests]
    environment = clean_environment(PYTHONPATH=str(aside), HYPOTHESIS_STORAGE_DIRECTORY=str(aside / "hypothesis"))
    try:
        ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return False
    assert ended.returncode in (_PASSED, _FAILED), ended.stdout + ended.stderr
    return ended.returncode == _PASSED


def is_caught(mistake: Mistake) -> bool:
    """Whether the tests of *mistake* fail when it is made."""
    with copy_of_package() as package:
        plant(mistake, package)
        return not succeeds(package, mistake.tests)


def main(words: Sequence[str]) -> int:
    """Plant the mistakes that are meant, print what becomes of each; 1 if one was not caught."""
    meant = [mistake for mistake in MISTAKES if not words or any(word in mistake.what for word in words)]
    missed = 0
    for mistake in meant:
        began = time.monotonic()
        caught = is_caught(mistake)
        missed += not caught
        seconds = time.monotonic() - began
        print(
            f"{'caught' if caught else 'NOT caught':<10} {seconds:5.1f} s  {mistake.file:<22} {mistake.what}",
            flush=True,
        )
    print(f"{len(meant) - missed} of {len(meant)} mistakes caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
