"""The namespaces that a place holds, a data directory or a server, and which of them are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bus.engine.embedded.data_directory import DataDirectory
from bus.engine.embedded.namespace_table import NamespaceTable, State
from bus.errors import ConfigError, StorageError, UnknownNamespaceError
from bus.subject import DEAD_SEGMENT, check_namespaces


def find_namespaces(path: Path) -> list[str]:
    """The namespaces that have a log below *path* and aren't deleted. Raises `StorageError` if there is none."""
    if not path.is_dir():
        raise StorageError(f"there is no data directory {path}: check the path")
    directory = DataDirectory(path)
    deleted = _deleted(directory)
    found = [name for name in directory.namespaces() if name not in deleted and _is_namespace(name)]
    if not found:
        raise StorageError(f"data directory {path} has no namespaces: check the path")
    return found


def _deleted(directory: DataDirectory) -> set[str]:
    """The namespaces of *directory* that are deleted, of which something may yet be there."""
    try:
        return {row.name for row in NamespaceTable(directory.table).of(State.DELETED)}
    except StorageError:  # what is in the logs of a damaged directory is worth reading
        return set()


def _is_namespace(name: str) -> bool:
    try:
        check_namespaces([name])
    except ConfigError:
        return False
    return True


def choose_namespaces(present: Sequence[str], only: Sequence[str], *, place: str) -> list[str]:
    """The namespaces that are *present* in *place*, or *only* some of them. Raises `UnknownNamespaceError`."""
    for name in only:
        if name not in present:
            raise UnknownNamespaceError(f"namespace {name!a} is not in {place}, which has {', '.join(present)}")
    return list(only or present)


def everything_in(namespace: str) -> list[str]:
    """The patterns that take all events of *namespace*: wildcards alone leave out dead letters."""
    return [f"{namespace}.>", f"{namespace}.{DEAD_SEGMENT}.>"]
