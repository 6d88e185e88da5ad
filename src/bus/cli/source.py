"""Where events are read from: a data directory, in use by a server or not, or a running server.

A directory is read without its lock and without writing anything, up to the last event that is there when the
command begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from bus.cli.keys import make_cipher
from bus.cli.places import choose, is_address
from bus.cli.remote import Server
from bus.config import Secret
from bus.engine.embedded.data_directory import DataDirectory
from bus.errors import ConfigError, StorageError
from bus.frame import lines_in
from bus.storage import Batch, Damage, DamagedLogError, Log, OutOfLogError
from bus.subject import check_namespaces

READ_BYTES = 256 * 1024
"""How much of a log is read at a time: more than fits into the processor's cache is slower."""


class Source(Protocol):
    """Where events are read from."""

    @property
    def namespaces(self) -> Sequence[str]:
        """The namespaces to read, in their order."""
        ...

    @property
    def events(self) -> int | None:
        """How many events they have, None if nobody knows."""
        ...

    @property
    def is_log(self) -> bool:
        """Whether it is a log of ours, in which indexes have no holes."""
        ...

    def lines(self, namespace: str, *, after: str = "") -> Iterator[bytes]:
        """All events of *namespace* in order, or those *after* the one with this id: pieces of NDJSON, whole lines.

        A directory's are exactly as stored; what a server sends is not checked yet.
        Raises `CorruptLogError` at damage, `StorageError`, `ConnectionFailedError`.
        """
        ...


def open_source(
    place: str,
    *,
    secret: Secret,
    only: Sequence[str] = (),
    on_damage: Callable[[Damage | str], object] | None = None,
) -> Server | DirectorySource:
    """What is at *place*, a directory or an address, or *only* some namespaces of it.

    What is damaged is given to *on_damage* and passed over, as words if a server tells of it; without that, it is
    raised. Raises `StorageError`
    if there is no such directory, `WrongKeyError`, `UnknownNamespaceError`, `ConnectionFailedError`.
    """
    if is_address(place):
        return Server.connect(place, only=only, on_gap=on_damage)
    return DirectorySource.open(Path(place), secret=secret, only=only, on_damage=on_damage)


class DirectorySource:
    """The logs of a data directory; make it with `DirectorySource.open`."""

    is_log = True

    def __init__(
        self, path: Path, logs: dict[str, Log], *, on_damage: Callable[[Damage | str], object] | None = None
    ) -> None:
        self.path = path
        self.logs = logs
        self._on_damage = on_damage

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        secret: Secret,
        only: Sequence[str] = (),
        on_damage: Callable[[Damage | str], object] | None = None,
    ) -> DirectorySource:
        """Open the logs below *path* for reading. Errors are those of `open_source`."""
        directory, cipher = DataDirectory(path), make_cipher(secret)
        names = choose(find_namespaces(path), only, place=str(path))
        logs = {name: Log.open(directory.log(name), cipher=cipher, read_only=True) for name in names}
        return cls(path, logs, on_damage=on_damage)

    @property
    def namespaces(self) -> Sequence[str]:
        return list(self.logs)

    @property
    def events(self) -> int:
        return sum(log.next - log.first for log in self.logs.values())

    def lines(self, namespace: str, *, after: str = "") -> Iterator[bytes]:
        assert not after, "only a server finds an event by its id"
        for batches in self.batches(namespace):
            yield lines_in(b"".join([batch.frames for batch in batches]))

    def batches(self, namespace: str, *, start: int = 0) -> Iterator[list[Batch]]:
        """The batches from the one with the event *start* on, or from the oldest left, some at a time."""
        log = self.logs[namespace]
        for damage in log.damage:
            self._pass_over(damage)
        index = max(log.first, start)
        while index < log.next:
            try:
                found = log.read(index, READ_BYTES)
            except DamagedLogError as error:
                index = max(index + 1, self._pass_over(error.damage))
                continue
            except OutOfLogError as error:
                raise StorageError(f"{error}: retention was faster than this command, run it again") from None
            yield found
            index = found[-1].next

    def _pass_over(self, damage: Damage) -> int:
        """Report *damage*; returns the index behind it. Raises `DamagedLogError` if nobody wants to know."""
        if self._on_damage is None:
            raise DamagedLogError(damage)
        self._on_damage(damage)
        return damage.next

    def __repr__(self) -> str:
        return f"<DirectorySource {self.path} with {', '.join(self.logs)}>"


def find_namespaces(path: Path) -> list[str]:
    """The namespaces that have a log below *path*. Raises `StorageError` if there is none."""
    if not path.is_dir():
        raise StorageError(f"there is no data directory {path}: check the path")
    found = [name for name in DataDirectory(path).namespaces() if _is_namespace(name)]
    if not found:
        raise StorageError(f"data directory {path} has no namespaces: check the path")
    return found


def _is_namespace(name: str) -> bool:
    try:
        check_namespaces([name])
    except ConfigError:
        return False
    return True
