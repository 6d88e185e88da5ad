"""The rule of `conftest.py` that CI skips nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import clean_environment

ROOT = Path(__file__).parent.parent

SKIPPING = {
    "test_marked.py": "import pytest\n@pytest.mark.skip(reason='no root')\ndef test_it(): ...\n",
    "test_inside.py": "import pytest\ndef test_it(): pytest.skip('no strace')\n",
    "test_module.py": "import pytest\npytest.importorskip('no_such_module')\n",
}


@pytest.mark.parametrize("name", SKIPPING)
@pytest.mark.parametrize(("ci", "status"), [("true", {1, 2}), ("", {0, 5})])
def test_a_skipped_test_fails_in_ci_alone(tmp_path: Path, name: str, ci: str, status: set[int]) -> None:
    (tmp_path / name).write_text(SKIPPING[name])
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "--rootdir", str(tmp_path), str(tmp_path)]
    environment = clean_environment(CI=ci, PYTHONPATH=str(ROOT))
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=50)
    assert run.returncode in status, run.stdout.decode()
    assert b"skipped" in run.stdout
