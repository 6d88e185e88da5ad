"""A Debian in a directory, and processes that see nothing else: what a container engine does, by the kernel's means."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

TOOLS = ("debootstrap", "unshare", "nsenter", "ip")
MIRROR = "http://deb.debian.org/debian"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PATIENCE = 60.0
"""Seconds a command in a container may take."""

needs_debian = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, TOOLS)),
    reason="makes a Debian of its own: needs root, debootstrap, unshare and nsenter (util-linux), ip (iproute2)",
)


def make_debian(directory: Path) -> None:
    """Install what every Debian 12 has, which is what the image debian:bookworm-slim has, into *directory*."""
    run("debootstrap", "--variant=minbase", "bookworm", directory, MIRROR)
    (directory / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")


def run(*command: str | Path, timeout: float = 600) -> None:
    """Run *command*; what it wrote is shown if it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout)
    assert done.returncode == 0, f"{shlex.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-5000:]}"


@contextmanager
def layer(below: Path, place: Path) -> Iterator[Path]:
    """A directory in *place* that shows *below* and takes every change for itself."""
    upper, work, root = (place / name for name in ("upper", "work", "root"))
    for directory in (upper, work, root):
        directory.mkdir(parents=True)
    run("mount", "-t", "overlay", "-o", f"lowerdir={below},upperdir={upper},workdir={work}", "overlay", root)
    try:
        yield root
    finally:
        run("umount", "--lazy", root)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """What processes see: a *root* directory, writable or not, and directories of the machine mounted into it."""

    root: Path
    writable: bool = False
    volumes: Mapping[str, Path] = field(default_factory=dict)
    memory: Sequence[str] = ()
    """Where a file system in memory is mounted."""
    network: bool = False
    """Whether they share the machine's network; otherwise all they have is a loopback of their own."""
    user: str = "0:0"
    directory: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)

    def command(self, *command: str) -> list[str]:
        """What starts *command* as process 1 of namespaces of its own."""
        namespaces = ["--mount", "--pid", "--ipc", "--uts", *([] if self.network else ["--net"])]
        script = "; ".join(["set -e", *self._preparations(), shlex.join(["exec", *self.inside(*command)])])
        return ["unshare", *namespaces, "--fork", "--kill-child", "sh", "-c", script]

    def inside(self, *command: str) -> list[str]:
        """*command* as it is run once the namespaces are there."""
        user, _, group = self.user.partition(":")
        given = {"PATH": PATH, "HOME": "/", **self.environment}
        enter = ["chroot", f"--userspec={user}:{group or user}", "--groups=", str(self.root)]
        settings = [f"{name}={value}" for name, value in given.items()]
        return [*enter, "env", "--ignore-environment", f"--chdir={self.directory}", *settings, *command]

    def _preparations(self) -> Iterator[str]:
        if not self.network:
            yield "ip link set lo up"
        yield f"mount --bind {self.root} {self.root}"
        if not self.writable:
            yield f"mount -o remount,bind,ro {self.root}"
        yield f"mount -t proc proc {self.root}/proc"
        yield from (f"mount --bind {source} {self.root}{target}" for target, source in self.volumes.items())
        yield from (f"mount -t tmpfs -o mode=1777 tmpfs {self.root}{target}" for target in self.memory)

    def run(self, *command: str, timeout: float = PATIENCE) -> None:
        """Run *command* to its end; it must succeed."""
        run(*self.command(*command), timeout=timeout)


class Container:
    """A process that runs in a `Sandbox`, and others beside it."""

    def __init__(self, sandbox: Sandbox, *command: str) -> None:
        self._sandbox = sandbox
        self.process = subprocess.Popen(
            sandbox.command(*command), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, process_group=0
        )

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def wait_for(self, text: str) -> str:
        """The first line it writes to standard error that holds *text*."""
        assert self.process.stderr is not None
        lines = []
        for line in self.process.stderr:
            lines.append(line)
            if text in line:
                return line
        raise AssertionError(f"it ended without saying {text!r}:\n{''.join(lines)}")

    @property
    def first(self) -> int:
        """The machine's number of process 1 in the container."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return int(children.split()[0])

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send process 1 a signal and return the exit status."""
        os.kill(self.first, number)
        return self.process.wait(PATIENCE)

    def execute(self, *command: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        """Run *command* beside process 1, to its end."""
        settings = [f"{name}={value}" for name, value in environment.items()]
        enter = ["nsenter", f"--target={self.first}", "--mount", "--pid", "--net", "--ipc", "--uts"]
        return subprocess.run(
            [*enter, *self._sandbox.inside("env", *settings, *command)],
            input=stdin, capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip

    def succeed(self, *command: str, stdin: str = "", **environment: str) -> str:
        """`execute`, which must succeed, and what it wrote to standard output."""
        done = self.execute(*command, stdin=stdin, **environment)
        assert done.returncode == 0, f"{command} ended with {done.returncode}: {done.stderr}{done.stdout}"
        return done.stdout
