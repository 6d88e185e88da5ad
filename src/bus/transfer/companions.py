"""What comes along with the events from one data directory to another: durable consumers and scheduled events.

They are read before the events: a position that is older than the copied log repeats deliveries, and an event that is
published meanwhile comes twice; read later, some would be skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bus.config import Secret
from bus.engine.embedded.consumers.consumer_store import ConsumerState
from bus.engine.embedded.data_directory import DataDirectory
from bus.transfer.consumer_positions import read_positions, write_positions
from bus.transfer.directory_target import DirectoryTarget
from bus.transfer.scheduled_events import copy_schedules, schedule_files


@dataclass(frozen=True, slots=True)
class Companions:
    """The durable consumers of a directory, and files of its scheduled events by namespace."""

    consumers: Sequence[ConsumerState]
    schedules: Mapping[str, Path]

    @classmethod
    @contextmanager
    def read(cls, path: Path, *, secret: Secret) -> Iterator[Companions]:
        """Those of the directory *path* as they are now; they end with the block. Raises a `StorageError`."""
        consumers, directory = read_positions(path, secret=secret), DataDirectory(path)
        with schedule_files(directory, directory.namespaces() if path.is_dir() else ()) as files:
            yield cls(consumers, files)

    def write(
        self,
        target: DirectoryTarget,
        namespaces: Sequence[str],
        *,
        src_secret: Secret,
        dst_secret: Secret,
        note: Callable[[str], object],
    ) -> None:
        """Have *target*, which has the events of *namespaces*, hold what goes with them. Raises a `StorageError`."""
        for name in self.schedules.keys() & set(namespaces):
            copy_schedules(self.schedules[name], target.schedules(name), src_secret=src_secret, dst_secret=dst_secret)
        theirs = [state for state in self.consumers if state.namespace in namespaces]
        write_positions(target, theirs, secret=dst_secret, note=note)
