"""Events picked out of a data directory or a server by subject, index and time: the listing of ``bus debug``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from bus.engine.delivery.filtering import matching
from bus.errors import TimedOutError
from bus.frame import encode_line, json_of, read_event_line
from bus.storage import Cipher, Damage
from bus.subject import Filter
from bus.transfer.directory_source import DirectorySource
from bus.transfer.server_address import ANSWER_SECONDS
from bus.transfer.server_questions import QUIET_END_SECONDS
from bus.transfer.server_source import ServerSource
from bus.units import format_time, parse_time

GROWTH_LOOK_SECONDS = 0.2
"""Time between two looks at whether a directory that is followed has grown."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events are wanted: a filter, indexes, both included, and times in ns."""

    wanted: Filter
    first: int = 1
    last: int | None = None
    since: int | None = None
    until: int | None = None

    def takes(self, line: bytes) -> bool:
        """Whether the time of the event in *line* is in range."""
        if self.since is None and self.until is None:
            return True
        created = parse_time(read_event_line(line).created_at)
        return (self.since is None or created >= self.since) and (self.until is None or created <= self.until)

    def ends_before(self, index: int) -> bool:
        """Whether neither the event *index* nor any behind it is wanted."""
        return self.last is not None and index > self.last


# -- from a directory


def read_directory(
    path: Path, selection: Selection, *, cipher: Cipher | None, note: Callable[[str], object], follow: bool
) -> Iterator[bytes]:
    """The wanted events as lines of JSON; with *follow*, also those that a server adds from now on."""
    namespace, report = selection.wanted.namespace, _name_once(note)
    while True:
        source = DirectorySource.open(path, cipher=cipher, only=[namespace], on_damage=report)
        yield from _read_log(source, selection)
        log = source.logs[namespace]
        if not follow or selection.ends_before(log.next):
            return
        selection = replace(selection, first=max(selection.first, log.next))
        time.sleep(GROWTH_LOOK_SECONDS)
        while not log.has_grown():
            time.sleep(GROWTH_LOOK_SECONDS)


def _read_log(source: DirectorySource, selection: Selection) -> Iterator[bytes]:
    namespace = selection.wanted.namespace
    log, start = source.logs[namespace], selection.first
    if selection.since is not None:
        start = max(start, log.find_time(selection.since))
    for batches in source.batches(namespace, start=start):
        for index, frame in matching(batches, selection.wanted, start=start):
            if selection.ends_before(index):
                return
            line = json_of(frame)
            if selection.takes(line):
                yield line


def _name_once(note: Callable[[str], object]) -> Callable[[Damage | str], None]:
    """What names each damage by *note*, however often the log is opened."""
    named: set[Damage | str] = set()

    def name(damage: Damage | str) -> None:
        if damage not in named:
            named.add(damage)
            note(str(damage))

    return name


# -- from a server


def read_server(server: ServerSource, selection: Selection, *, follow: bool) -> Iterator[bytes]:
    """The wanted events as lines of JSON; with *follow*, also those that come from now on."""
    subjects = [pattern.text for pattern in selection.wanted.patterns]
    timeout = None if server.is_log or follow else QUIET_END_SECONDS
    with (
        server.address.open_client(timeout=ANSWER_SECONDS) as client,
        client.get(
            subjects, start=_start(selection), follow=follow, payload_type=msgspec.Raw, timeout=timeout
        ) as events,
    ):
        try:
            for event in events:
                if selection.ends_before(event.index):
                    return
                if event.index >= selection.first and selection.takes(line := encode_line(event)):
                    yield line
        except TimedOutError:  # only where nothing else tells the end of the log
            return


def _start(selection: Selection) -> str | int:
    if selection.first > 1:
        return selection.first
    return "oldest" if selection.since is None else format_time(selection.since)
