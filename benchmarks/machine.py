"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import psutil

SYNCS = 300


def machine(directory: Path | None) -> dict[str, str]:
    """The machine in a few words."""
    where = Path(directory or tempfile.gettempdir()).resolve()
    return {
        "processors": f"{os.cpu_count()} × {_processor()}",
        "memory": f"{psutil.virtual_memory().total / 1e9:.0f} GB",
        "system": f"{platform.system()} {platform.release()}",
        "file system": _file_system(where),
        "Python": " ".join(sys.version.split()),
    }


def fdatasync_seconds(directory: Path | None) -> float:
    """How long one append of 200 bytes with fdatasync takes, as the median of many."""
    with tempfile.NamedTemporaryFile(dir=directory, buffering=0) as file:
        return statistics.median(_sync(file.fileno()) for _ in range(SYNCS))


def _sync(descriptor: int) -> float:
    os.write(descriptor, b"x" * 200)
    began = time.perf_counter()
    os.fdatasync(descriptor)
    return time.perf_counter() - began


def tools() -> dict[str, str]:
    """Versions of the load generators and the Python clients."""
    packages = {"nats-py": "nats-py", "redis-py": "redis", "hiredis": "hiredis", "uvloop": "uvloop"}
    return {name: version(package) for name, package in packages.items()} | {
        "wrk": _first_line("wrk", "-v"),
        "redis-benchmark": _first_line("redis-benchmark", "--version"),
    }


def _first_line(*command: str) -> str:
    try:
        # wrk prints its version with its usage, and fails.
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "not installed"
    words = (ran.stdout + ran.stderr).splitlines()[0].split()
    return next((word for word in words if any(letter.isdigit() for letter in word)), "unknown")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(path: Path) -> str:
    mounts = {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
    return next((mounts[str(parent)] for parent in (path, *path.parents) if str(parent) in mounts), "unknown")
