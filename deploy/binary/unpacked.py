"""Runs in the single file before Bus does: ends with its parent, and clears up after those that couldn't.

PyInstaller's launcher unpacks into a new directory _MEI… under TMPDIR, runs Bus from there as its child, and removes
the directory when the child has ended. A launcher that is killed can't: its directory stays for the next start.
"""

import ctypes
import fcntl
import os
import shutil
import signal
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
MARK = Path("busd", "LICENSE")
"""What tells a directory of Bus from those of other programs that are packed the same way."""
UNPACKING_SECONDS = 60
"""How young a directory may belong to a launcher that is still unpacking, and that nobody has locked yet."""


def end_with_launcher() -> None:
    """A server whose launcher is killed would keep the port and the data from the one started in its place."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def lock(directory: Path, how: int) -> int | None:
    """A descriptor that holds the lock of *directory*, or None if another process has it or it is gone."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def remove_if_abandoned(directory: Path) -> None:
    """Remove a *directory* of this user's that nobody runs from."""
    try:
        about = directory.lstat()
    except OSError:
        return
    old = time.time() - about.st_mtime > UNPACKING_SECONDS
    if not old or about.st_uid != os.getuid() or not (directory / MARK).exists():
        return
    descriptor = lock(directory, fcntl.LOCK_EX)
    if descriptor is not None:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(descriptor)


end_with_launcher()
OWN = Path(sys._MEIPASS)
HELD = lock(OWN, fcntl.LOCK_SH)
for neighbour in OWN.parent.glob("_MEI*"):
    if neighbour != OWN:
        remove_if_abandoned(neighbour)
