"""The tests are worth something: each mistake of the catalogue is noticed by those that are there for it."""

from __future__ import annotations

import pytest

from tests.faults.conftest import Figure
from tests.faults.mistakes.catalogue import MISTAKES, Mistake
from tests.faults.mistakes.planting import LONG_PATIENCE, copy_of_package, first_failure, noticed_by

pytestmark = pytest.mark.timeout(1600)


def _name(mistake: Mistake) -> str:
    return mistake.what.replace(" ", "-")


def test_the_control_for_that_no_mistake_is_nothing_noticed() -> None:
    """First of all, because it takes longest and others can run beside it."""
    tests = dict.fromkeys(test for mistake in MISTAKES for test in mistake.tests)
    with copy_of_package() as package:
        assert first_failure(package, list(tests), patience=LONG_PATIENCE) == ""


@pytest.mark.parametrize("mistake", MISTAKES, ids=_name)
def test_every_mistake_is_noticed(mistake: Mistake, figure: Figure) -> None:
    assert noticed_by(mistake), f"no test notices when {mistake.what}"
    figure(f"mistake: {mistake.what}", "caught")
