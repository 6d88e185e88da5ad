"""The container image: its steps carried out, and what comes of them run as a container engine would."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from bus import __version__
from tests.docs.blocks import ROOT
from tests.install.dockerfile import Stage, build
from tests.install.machine import Container, needs_debian

DOCKERFILE = ROOT / "Dockerfile"
REFERENCE_CHECK = ("wget", "-q", "--spider", "http://localhost:2021/")
"""The health check of the Go server's own docker-compose.yml."""


def test_the_dockerfile_has_no_known_faults() -> None:
    lint = subprocess.run([Path(sys.executable).parent / "hadolint", DOCKERFILE], capture_output=True, text=True)
    assert (lint.returncode, lint.stdout) == (0, "")


def test_the_context_is_what_the_dockerfile_copies() -> None:
    copied = [line.split()[1:-1] for line in DOCKERFILE.read_text().splitlines() if line.startswith("COPY ")]
    from_context = {word for words in copied if not words[0].startswith("--from=") for word in words}
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert allowed == from_context


@pytest.fixture(scope="module")
def image(debian: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with build(DOCKERFILE, ROOT, debian, tmp_path_factory.mktemp("image")) as stage:
        yield stage


@pytest.fixture
def volume(image: Stage, tmp_path: Path) -> Path:
    """A new volume: it gets the content, the owner and the rights that the image has in its place."""
    (place,) = image.volumes
    of_image = image.root / place.lstrip("/")
    about = of_image.stat()
    copied = shutil.copytree(of_image, tmp_path / "volume")
    os.chown(copied, about.st_uid, about.st_gid)
    copied.chmod(about.st_mode)
    return copied


def _run(image: Stage, volume: Path, *command: str, **environment: str) -> Container:
    """``docker run --read-only``: the image's program with its settings, and *environment*."""
    settings = {**image.environment, **environment}
    sandbox = replace(image.sandbox(), environment=settings, volumes={image.volumes[0]: volume})
    return Container(sandbox, *image.entrypoint, *(command or image.command))


@needs_debian
def test_the_image_serves_from_a_root_that_can_not_be_written(image: Stage, volume: Path) -> None:
    with _run(image, volume, BUS_NAMESPACES="app") as container:
        container.wait_for("listening on http://")
        container.succeed("bus", "put", "--subject", "app.test", "--data", "1")
        assert '"payload":1' in container.succeed("bus", "get", "--subject", "app.>", "--start", "oldest", "--limit=1")
        assert container.succeed("id", "-u") == "10001\n"
        assert container.execute("touch", "/opt/bus/there").returncode != 0
        assert (volume / "app").is_dir()
        assert container.stop(signal.Signals[image.stop_signal]) == 0


@needs_debian
def test_both_health_checks_tell_a_server_from_none(image: Stage, volume: Path) -> None:
    with _run(image, volume, BUS_NAMESPACES="app") as container:
        container.wait_for("listening on http://")
        for check in (image.health, REFERENCE_CHECK):
            container.succeed(*check)
    with _run(image, volume, BUS_NAMESPACES="app", BUS_ADDR=":2022") as container:
        container.wait_for("listening on http://")
        for check in (image.health, REFERENCE_CHECK):
            assert container.execute(*check).returncode != 0


@needs_debian
def test_other_commands_run_in_place_of_the_server(image: Stage, volume: Path) -> None:
    with _run(image, volume, "--version") as container:
        assert container.process.wait(20) == 0
    with _run(image, volume) as container:
        container.wait_for("no namespaces are declared")
        assert container.process.wait(20) == 2


@needs_debian
def test_the_image_is_free_of_what_built_it(image: Stage) -> None:
    for tool in ("python3", "pip", "gcc", "pyinstaller"):
        assert not shutil.which(tool, path=f"{image.root}/usr/bin:{image.root}/usr/local/bin")
    assert not (image.root / "venv").exists()
    assert f"busd:{__version__}" in (ROOT / "docker-compose.yml").read_text()


@needs_debian
def test_the_compose_file_starts_the_server_it_describes(image: Stage, volume: Path) -> None:
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["bus"]
    given = dict(line.split("=", 1) for line in service["environment"])
    given["BUS_SECRET_KEY"] = "a secret"
    with _run(image, volume, **given) as container:
        line = container.wait_for("listening on http://")
        assert line.split()[-5:] == [
            "namespaces=orders,users,notifications", "path=/storage", "fsync=always", "encrypted=yes", "engine=embedded"
        ]  # fmt: skip
        assert service["healthcheck"]["test"] == ["CMD", *REFERENCE_CHECK]
        container.succeed(*service["healthcheck"]["test"][1:])
