"""The wheel and the source distribution as they are published: what is in them, and that anyone gets the same."""

from __future__ import annotations

import os
import shutil
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
SERVER_ONLY = ["uvloop", "crc32c", "nacl", "prometheus_client", "click", "rich", "tomlkit"]


def _build(sources: Path, target: Path, *kinds: str, umask: int = 0o022) -> Path:
    """Build *kinds* of distributions from *sources* into *target*."""
    asked = [word for kind in kinds for word in ("-t", kind)]
    command = [sys.executable, "-m", "hatchling", "build", *asked, "-d", str(target)]
    environment = clean_environment(SOURCE_DATE_EPOCH="1700000000")
    subprocess.run(command, cwd=sources, env=environment, umask=umask, check=True, capture_output=True, timeout=50)
    return target


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    return ZipFile(next(_build(ROOT, tmp_path_factory.mktemp("dist"), "wheel").iterdir()))


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


def test_json_web_tokens_are_an_extra(wheel: ZipFile) -> None:
    requirements: list[str] = _metadata(wheel).get_all("Requires-Dist", [])
    extra = [text for text in requirements if text.endswith("extra == 'jwt'")]
    assert [text.partition("<")[0] for text in extra] == ["pyjwt[crypto]"]
    code = "import sys, bus.cli.main, bus.server.run; sys.exit('jwt' in sys.modules or 'cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=clean_environment(), timeout=20).returncode == 0


def test_tracing_is_an_extra(wheel: ZipFile) -> None:
    requirements: list[str] = _metadata(wheel).get_all("Requires-Dist", [])
    extra = [text for text in requirements if text.endswith("extra == 'otel'")]
    assert [text.partition("<")[0] for text in extra] == [
        "opentelemetry-api",
        "opentelemetry-exporter-otlp-proto-http",
        "opentelemetry-sdk",
    ]
    code = "import sys, bus.cli.main, bus.server.run, bus; bus.Client(); sys.exit('opentelemetry' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=clean_environment(), timeout=20).returncode == 0


def test_the_sdk_runs_without_the_server_extra() -> None:
    code = f"import sys; sys.modules.update(dict.fromkeys({SERVER_ONLY})); from bus import AsyncClient, Client"
    answer = subprocess.run([sys.executable, "-c", code], env=clean_environment(), capture_output=True, timeout=20)
    assert answer.returncode == 0, answer.stderr.decode()


def test_the_console_script_is_called_bus() -> None:
    (script,) = entry_points(group="console_scripts", name="bus")
    assert script.value == "bus.__main__:main"


def test_two_builds_of_the_same_sources_are_equal(tmp_path: Path) -> None:
    contents = []
    for when, umask in ((1_600_000_000, 0o022), (1_650_000_000, 0o077)):
        sources = _copy_sources(tmp_path / str(when) / "sources", when)
        built = _build(sources, tmp_path / str(when) / "dist", "wheel", "sdist", umask=umask)
        contents.append({file.name: file.read_bytes() for file in built.iterdir()})
    assert {name.removeprefix(f"busd-{__version__}") for name in contents[0]} == {"-py3-none-any.whl", ".tar.gz"}
    assert contents[0] == contents[1]


def _copy_sources(place: Path, when: int) -> Path:
    """What is needed to build, with files as old as *when*."""
    place.mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "Makefile"):
        shutil.copy(ROOT / name, place)
    for name in ("src", "docs", "deploy"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in place.rglob("*"):
        os.utime(path, (when, when))
    return place
