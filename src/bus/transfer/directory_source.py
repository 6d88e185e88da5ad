"""A data directory to read events from, in use by a server or not.

It is read without its lock and without writing anything, up to the last event that is there when the command begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bus.engine.embedded.data_directory import DataDirectory
from bus.errors import StorageError
from bus.frame import lines_in
from bus.storage import Batch, Cipher, Damage, DamagedLogError, Log, OutOfLogError
from bus.transfer.namespaces import choose_namespaces, find_namespaces

CHUNK_BYTES = 256 * 1024
"""How much of a log is read at a time: more than fits into the processor's cache is slower."""


class DirectorySource:
    """The logs of a data directory; make it with `DirectorySource.open`."""

    is_log = True

    def __init__(
        self, path: Path, logs: dict[str, Log], *, on_damage: Callable[[Damage | str], object] | None = None
    ) -> None:
        self.directory = DataDirectory(path)
        self.logs = logs
        self._on_damage = on_damage

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        cipher: Cipher | None,
        only: Sequence[str] = (),
        on_damage: Callable[[Damage | str], object] | None = None,
    ) -> DirectorySource:
        """Open the logs below *path* for reading. Errors are those of `open_source`."""
        directory = DataDirectory(path)
        names = choose_namespaces(find_namespaces(path), only, place=str(path))
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
        index, end = max(log.first, start), log.next
        while index < end:
            try:
                found = log.read(index, CHUNK_BYTES)
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
        return f"<DirectorySource {self.directory.path} with {', '.join(self.logs)}>"
