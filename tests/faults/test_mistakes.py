"""The tests are worth something: each mistake of the catalogue is noticed by those that are there for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.conftest import Figure
from tests.faults.mistakes.catalogue import MISTAKES, Mistake
from tests.faults.mistakes.planting import (
    LONG_PATIENCE,
    ROOT,
    copy_of_package,
    first_failure,
    noticed_by,
    plant,
    plant_together,
)

pytestmark = pytest.mark.timeout(1600)


def _name(mistake: Mistake) -> str:
    return mistake.what.replace(" ", "-")


@pytest.mark.parametrize("mistake", MISTAKES, ids=_name)
def test_every_mistake_can_be_made(mistake: Mistake) -> None:
    with copy_of_package() as package:
        plant(mistake, package)
        compile((package / mistake.file).read_text(), mistake.file, "exec")


def test_a_mistake_names_only_what_is_there() -> None:
    """One that fails on a wrong name instead of its own account would be noticed, or swallowed, for nothing."""
    left = list(MISTAKES)
    while left:
        with copy_of_package() as package:
            planted = plant_together(left, package)
            assert _type_errors(package) == ""
        left = [mistake for mistake in left if mistake not in planted]


def _type_errors(package: Path) -> str:
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--no-warn-unreachable", "--cache-dir=/dev/null"]
    checked = subprocess.run([*command, str(package)], cwd=ROOT, capture_output=True, text=True, check=False)
    return checked.stdout + checked.stderr


@pytest.mark.parametrize("mistake", MISTAKES, ids=_name)
def test_every_mistake_is_noticed(mistake: Mistake, figure: Figure) -> None:
    assert noticed_by(mistake), f"no test notices when {mistake.what}"
    figure(f"mistake: {mistake.what}", "caught")


def test_the_control_for_that_no_mistake_is_nothing_noticed() -> None:
    tests = dict.fromkeys(test for mistake in MISTAKES for test in mistake.tests)
    with copy_of_package() as package:
        assert first_failure(package, list(tests), patience=LONG_PATIENCE) == ""
