"""The wheel as it is published: what is in it and what it brings along."""

from __future__ import annotations

import subprocess
import sys
from email.message import Message
from email.parser import Parser
from importlib.metadata import entry_points
from pathlib import Path
from zipfile import ZipFile

import pytest

from bus import __version__
from tests.support import clean_environment

ROOT = Path(__file__).parent.parent
SERVER_ONLY = ["uvloop", "crc32c", "nacl", "prometheus_client", "click", "rich"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=50)
    return ZipFile(next(folder.iterdir()))


def _metadata(wheel: ZipFile) -> Message:
    return Parser().parsestr(wheel.read(f"busd-{__version__}.dist-info/METADATA").decode())


def test_the_wheel_holds_the_package_and_nothing_else(wheel: ZipFile) -> None:
    packed = {name for name in wheel.namelist() if name.startswith("bus/")}
    files = {path.relative_to(ROOT / "src") for path in (ROOT / "src/bus").rglob("*.*") if path.is_file()}
    assert packed == {str(path) for path in files if path.suffix != ".pyc"}
    assert "bus/py.typed" in packed
    assert {name.split("/")[0] for name in wheel.namelist()} == {"bus", f"busd-{__version__}.dist-info"}


def test_a_plain_install_is_light(wheel: ZipFile) -> None:
    requirements: list[str] = _metadata(wheel).get_all("Requires-Dist", [])
    always = {text.split("<")[0].split(">")[0] for text in requirements if "extra ==" not in text}
    assert always == {"httptools", "msgspec"}


def test_the_sdk_runs_without_the_server_extra() -> None:
    code = f"import sys; sys.modules.update(dict.fromkeys({SERVER_ONLY})); from bus import AsyncClient, Client"
    answer = subprocess.run([sys.executable, "-c", code], env=clean_environment(), capture_output=True, timeout=20)
    assert answer.returncode == 0, answer.stderr.decode()


def test_the_console_script_is_called_bus() -> None:
    (script,) = entry_points(group="console_scripts", name="bus")
    assert script.value == "bus.__main__:main"
