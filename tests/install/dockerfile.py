"""A Dockerfile carried out without a container engine: each stage is a layer on a Debian of the test's own."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import cast

from dockerfile_parse import DockerfileParser

from tests.install.machine import Sandbox, layer

BASE = "debian:bookworm-slim"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
LENT = {Path("/etc/resolv.conf"): "etc/resolv.conf", AUTHORITIES: "run/authorities.crt"}
"""Files of the builder's machine that a step needs to reach a network, and where it finds them."""
SETTINGS = ("DEBIAN_FRONTEND=noninteractive", "PIP_ROOT_USER_ACTION=ignore", "PIP_CERT=/run/authorities.crt")


@dataclass(slots=True)
class Stage:
    """What one FROM has led to so far."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    directory: str = "/"
    volumes: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    stop_signal: str = "SIGTERM"

    def sandbox(self, *, writable: bool = False, network: bool = False) -> Sandbox:
        """What this stage's processes see."""
        return Sandbox(
            root=self.root,
            writable=writable,
            network=network,
            user=self.user,
            directory=self.directory,
            environment=self.environment,
        )


@contextmanager
def build(dockerfile: Path, context: Path, debian: Path, place: Path) -> Iterator[Stage]:
    """The last stage of *dockerfile*, each of whose steps has been carried out in *place*."""
    stages: dict[str, Stage] = {}
    with ExitStack() as layers:
        for step in DockerfileParser(fileobj=BytesIO(dockerfile.read_bytes())).structure:
            name, value = step["instruction"], step["value"]
            if name == "FROM":
                image, _, alias = value.partition(" AS ")
                assert image == BASE, f"only {BASE} can be made here, not {image}"
                stage = Stage(layers.enter_context(layer(debian, place / str(len(stages)))))
                stages[alias or str(len(stages))] = stage
            elif name != "COMMENT":
                _carry_out(name, value, stage, stages, context)
        yield stage


def _carry_out(name: str, value: str, stage: Stage, stages: dict[str, Stage], context: Path) -> None:
    """Do one step. Raises `AssertionError` for one that isn't known."""
    match name:
        case "RUN":
            _run(value, stage)
        case "COPY":
            _copy(shlex.split(value), stage, stages, context)
        case "ENV":
            stage.environment |= dict(pair.split("=", 1) for pair in shlex.split(value))
        case "USER":
            stage.user = value
        case "WORKDIR":
            stage.directory = value
            (stage.root / value.lstrip("/")).mkdir(parents=True, exist_ok=True)
        case "VOLUME":
            stage.volumes.append(value)
        case "STOPSIGNAL":
            stage.stop_signal = value
        case "HEALTHCHECK":
            stage.health = _words(value.partition("CMD ")[2])
        case "ENTRYPOINT":
            stage.entrypoint = _words(value)
        case "CMD":
            stage.command = _words(value)
        case _:
            assert name == "EXPOSE", f"{name} isn't known"


def _words(value: str) -> list[str]:
    return cast(list[str], json.loads(value))


def _run(command: str, stage: Stage) -> None:
    """Run a shell line with the builder's network, which is no part of the image."""
    sandbox = stage.sandbox(writable=True, network=True)
    lent = {stage.root / target: source for source, target in LENT.items()}
    for target, source in lent.items():
        shutil.copy(source, target)
    sandbox.run("env", *SETTINGS, "sh", "-c", command, timeout=1200)
    for target in lent:
        target.unlink()


def _copy(words: Sequence[str], stage: Stage, stages: dict[str, Stage], context: Path) -> None:
    """Copy files into the stage; a directory's contents rather than itself, as Docker does."""
    source = context
    if words[0].startswith("--from="):
        source = stages[words[0].removeprefix("--from=")].root
        words = words[1:]
    *paths, target = words
    to = Path(os.path.normpath(stage.root / stage.directory.lstrip("/") / target.lstrip("/")))
    if target.startswith("/"):
        to = stage.root / target.lstrip("/")
    for path in paths:
        origin = source / path.lstrip("/")
        if origin.is_dir():
            shutil.copytree(origin, to, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            to.mkdir(parents=True, exist_ok=True)
            shutil.copy(origin, to)
