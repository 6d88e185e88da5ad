"""Plants each mistake in a copy of the package, runs the tests that must notice, and says whether they did.

python -m tests.faults.mistakes.planting            all of them
python -m tests.faults.mistakes.planting sync key   those with one of these words in what they are
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.faults.mistakes.catalogue import MISTAKES, Mistake
from tests.support import clean_environment

ROOT = Path(__file__).parents[3]
PATIENCE = 300.0
"""Seconds that the tests of one mistake may take; a mistake may well make one hang."""

LONG_PATIENCE = 1500.0
"""Seconds for all tests of all mistakes together."""

_PASSED, _FAILED = 0, 1
_FIRST = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)


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


def plant_together(mistakes: Sequence[Mistake], package: Path) -> Sequence[Mistake]:
    """Make those of *mistakes* that don't change the same lines; they are returned, at least the first."""
    planted = []
    for mistake in mistakes:
        try:
            plant(mistake, package)
        except NotPlantedError:
            continue
        planted.append(mistake)
    assert planted, f"can't be made even alone: {mistakes[0].what}"
    return planted


@contextmanager
def copy_of_package() -> Iterator[Path]:
    """A copy of ``src/bus`` in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="bus-mistake-") as directory:
        package = Path(directory) / "bus"
        shutil.copytree(ROOT / "src" / "bus", package, ignore=shutil.ignore_patterns("__pycache__"))
        yield package


def first_failure(package: Path, tests: Sequence[str], *, patience: float = PATIENCE) -> str:
    """The first of *tests* that fails on the copy at *package*, empty if none does.

    Not to end within *patience* seconds is a failure.
    """
    aside = package.parent
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", f"--basetemp={aside / 'tmp'}", *tests]
    environment = clean_environment(PYTHONPATH=str(aside), HYPOTHESIS_STORAGE_DIRECTORY=str(aside / "hypothesis"))
    try:
        ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=patience)
    except subprocess.TimeoutExpired:
        return f"no end within {patience:.0f} s"
    if ended.returncode == _PASSED:
        return ""
    failed = _FIRST.search(ended.stdout)
    assert failed and ended.returncode == _FAILED, ended.stdout + ended.stderr
    return failed[1]


def noticed_by(mistake: Mistake) -> str:
    """The test that fails when *mistake* is made, empty if none does."""
    with copy_of_package() as package:
        plant(mistake, package)
        return first_failure(package, mistake.tests)


def main(words: Sequence[str]) -> int:
    """Plant the mistakes that are meant, print what becomes of each; 1 if one was not caught."""
    meant = [mistake for mistake in MISTAKES if not words or any(word in mistake.what for word in words)]
    caught = 0
    for mistake in meant:
        test = noticed_by(mistake)
        caught += bool(test)
        print(f"{'caught' if test else 'NOT caught':<10}  {mistake.what:<64}  {test}", flush=True)
    print(f"{caught} of {len(meant)} mistakes caught")
    return 0 if caught == len(meant) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
