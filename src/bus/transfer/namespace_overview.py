"""What a data directory or a server holds, at a glance: the rows of ``bus debug``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import msgspec

from bus.engine.embedded.namespace_table import KeptNamespace, State
from bus.errors import InvalidEventError
from bus.namespace import NamespaceSettings
from bus.storage import Batch, Damage, SegmentInfo
from bus.transfer.admission import READ_ERRORS
from bus.transfer.directory_source import DirectorySource
from bus.transfer.event_source import EventSource
from bus.transfer.odd_events import named_decoder
from bus.transfer.server_source import ServerSource
from bus.units import format_time


class SegmentOverview(msgspec.Struct, rename={"encrypted": "sealed"}):
    """A file of a log; times are RFC 3339, None if it has no events."""

    file: str
    first_index: int
    last_index: int
    bytes: int
    first_time: str | None
    last_time: str | None
    encrypted: bool

    @classmethod
    def of(cls, info: SegmentInfo) -> SegmentOverview:
        """What the log says of it."""
        first, last = (format_time(time) if time else None for time in (info.first_time, info.last_time))
        return cls(info.path.name, info.first, info.next - 1, info.bytes, first, last, info.encrypted)


class SubjectCount(msgspec.Struct):
    """How many events there are of a subject."""

    subject: str
    events: int


class NamespaceOverview(msgspec.Struct, omit_defaults=True, rename={"encrypted": "sealed"}):
    """A namespace. A server tells neither times nor files nor damage; subjects are there if they were counted.

    ``made`` and ``settings`` are of one that was made or changed while a server ran.
    """

    namespace: str
    events: int
    first_index: int
    last_index: int
    bytes: int
    segments: int
    first_time: str | None = None
    last_time: str | None = None
    encrypted: bool | None = None
    files: list[SegmentOverview] = []
    damage: list[str] = []
    made: bool = False
    settings: NamespaceSettings | None = None
    subjects: list[SubjectCount] = []


def overview_of(
    source: EventSource, damage: Sequence[Damage | str] = (), kept: Sequence[KeptNamespace] = ()
) -> list[NamespaceOverview]:
    """The namespaces of *source*, without their subjects.

    *damage* is what was found while they were read, *kept* what was said of them while a server ran.
    """
    found = _overview_of(source, damage)
    said = {row.name: row for row in kept}
    for overview in found:
        if row := said.get(overview.namespace):
            overview.made, overview.settings = row.state is State.MADE, row.settings
    return found


def _overview_of(source: EventSource, damage: Sequence[Damage | str]) -> list[NamespaceOverview]:
    if isinstance(source, ServerSource):
        return [_of_server(source, name) for name in source.namespaces]
    assert isinstance(source, DirectorySource)
    return [_of_directory(source, name, damage) for name in source.namespaces]


def _of_server(server: ServerSource, name: str) -> NamespaceOverview:
    stats = server.stats.get(name)
    if stats is None:
        return NamespaceOverview(name, 0, 0, 0, 0, 0)
    return NamespaceOverview(name, stats.events, stats.first_index, stats.next_index - 1, stats.bytes, stats.segments)


def _of_directory(source: DirectorySource, name: str, damage: Sequence[Damage | str]) -> NamespaceOverview:
    log = source.logs[name]
    files = [SegmentOverview.of(info) for info in log.segments]
    times = [time for file in files for time in (file.first_time, file.last_time) if time]
    found = dict.fromkeys(str(one) for one in (*log.damage, *damage) if _is_in(one, name))
    return NamespaceOverview(
        namespace=name,
        events=log.next - log.first,
        first_index=log.first,
        last_index=log.next - 1,
        bytes=log.size,
        segments=len(files),
        first_time=times[0] if times else None,
        last_time=times[-1] if times else None,
        encrypted=any(file.encrypted for file in files) if files else None,
        files=files,
        damage=list(found),
    )


def _is_in(damage: Damage | str, namespace: str) -> bool:
    return isinstance(damage, Damage) and damage.path.parent.name == namespace


def count_subjects(
    source: EventSource, namespace: str, most: int, counted: Callable[[int], object]
) -> list[SubjectCount]:
    """The *most* frequent subjects of *namespace*; *counted* is told how many more events were looked at."""
    counts: Counter[str] = Counter()
    for some in _subjects(source, namespace):
        counts.update(some)
        counted(some.total())
    return [SubjectCount(subject, events) for subject, events in counts.most_common(most)]


def _subjects(source: EventSource, namespace: str) -> Iterator[Counter[str]]:
    if isinstance(source, DirectorySource):
        return (_count(batch) for batches in source.batches(namespace) for batch in batches)
    return map(_count_lines, source.lines(namespace))


def _count_lines(lines: bytes) -> Counter[str]:
    try:
        return Counter(event.subject for event in named_decoder.decode_lines(lines))
    except READ_ERRORS as error:
        raise InvalidEventError(f"the server sends what is no event: {error}") from None


def _count(batch: Batch) -> Counter[str]:
    """From the batch's own table: no event is looked at."""
    numbers = Counter(batch.which) if batch.which else {0: batch.count}
    return Counter({batch.subjects[number].decode(): events for number, events in numbers.items()})
