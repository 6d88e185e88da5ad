"""The examples run, end by themselves, and do what they say."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.docs.blocks import ROOT
from tests.support import PATIENCE, ServerProcess, clean_environment

PRINTS = {
    "account": [
        "4 processes withdrew 10 from 205, 20 times in all",
        "5 is left, and it was never overdrawn",
    ],
    "pub_sub": [
        "app.users.created Alice",
        "app.users.created Bob",
        "app.users.created Carol",
    ],
    "request_reply": [
        "10 / 4 = 2.5",
        "1 / 0: ZeroDivisionError: division by zero",
    ],
    "confirm": [
        "0 of 2 confirmations within 0.2s; the event is stored",
        "two consumers have confirmed",
        "c_… took: main power on",
        "c_… took: main power on",
    ],
    "service": [
        "order 1: invoice over 40, attempt 1",
        "order 3: invoice over 60, attempt 2",
        "nothing more to do",
        "dead letter: order 2 has no total",
    ],
}


@pytest.mark.parametrize("example", PRINTS)
def test_example(example: str, server: ServerProcess) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", f"examples/{example}.py"],
        cwd=ROOT,
        env=clean_environment(BUS_HOST=server.url),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert re.sub("c_[0-9a-f]+", "c_…", done.stdout).splitlines() == PRINTS[example]


def test_every_example_is_tested() -> None:
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == set(PRINTS)
