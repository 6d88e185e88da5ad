"""Each mistake that the fault tests plant can still be made: its file and lines, what it names, its tests are there.

Whether those tests notice it is found out where faults are (``tests/faults/test_mistakes.py``), and takes minutes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.mistakes.catalogue import MISTAKES
from tests.faults.mistakes.planting import ROOT, copy_of_package, plant, plant_together


def test_every_mistake_can_be_made() -> None:
    with copy_of_package() as package:
        for mistake in MISTAKES:
            file = package / mistake.file
            text = file.read_text()
            plant(mistake, package)
            compile(file.read_text(), mistake.file, "exec")
            file.write_text(text)


def test_the_tests_that_must_notice_are_there() -> None:
    named = dict.fromkeys(test for mistake in MISTAKES for test in mistake.tests)
    found = _run("pytest", "--collect-only", "-qq", *named)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.timeout(180)
def test_a_mistake_names_only_what_is_there() -> None:
    """One that fails on a wrong name instead of its own account would be noticed, or swallowed, for nothing."""
    left = list(MISTAKES)
    with copy_of_package() as package:
        texts = {package / mistake.file: (package / mistake.file).read_text() for mistake in MISTAKES}
        while left:
            planted = plant_together(left, package)
            assert _type_errors(package) == ""
            left = [mistake for mistake in left if mistake not in planted]
            for file, text in texts.items():
                file.write_text(text)


def _type_errors(package: Path) -> str:
    cache = package.with_name("types")
    checked = _run("mypy", "--no-error-summary", "--no-warn-unreachable", f"--cache-dir={cache}", str(package))
    return checked.stdout + checked.stderr


def _run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
