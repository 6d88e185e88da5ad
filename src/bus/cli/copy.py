"""``bus copy``: from a directory or a server to another, and from one secret key to another.

directory ─▶ directory      batch by batch, opened and encrypted anew, indexes kept; consumers and schedules come along
anything ─▶ anything        what was said of namespaces while a server ran comes along as well
our server ─▶ directory     event by event, each checked, indexes kept
anything ─▶ server          event by event, each checked, under new indexes
others' server ─▶ anywhere  the same
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import click

from bus.cli.console import note
from bus.cli.place_options import namespace_option, side_options, skip_invalid_option
from bus.cli.secret_options import block_size_option, make_cipher, secret_options
from bus.cli.tally import counting
from bus.config import Secret
from bus.engine.embedded.namespace_table import KeptNamespace
from bus.transfer.companions import Companions
from bus.transfer.directory_source import DirectorySource
from bus.transfer.directory_target import DirectoryTarget
from bus.transfer.event_source import EventSource, Place, open_source
from bus.transfer.event_target import EventTarget
from bus.transfer.kept_namespaces import read_kept
from bus.transfer.odd_events import OddEvents, Piece
from bus.transfer.server_address import ServerAddress
from bus.transfer.server_source import ServerSource
from bus.transfer.server_target import ServerTarget


@click.command(
    epilog="""\b
Examples:
  bus copy --from ./data --to ./backup
  bus copy --from ./data --to ./rotated --src-secret-key-file old.key --dst-secret-key-file new.key
  bus copy --from http://old-server:2021 --to ./data --namespace app,orders
"""
)
@side_options("--from", "origin", side="src_", help="Where the events are.")
@side_options("--to", "goal", side="dst_", help="Where they go.")
@namespace_option("Copy this namespace only; may be repeated.")
@click.option("--append", is_flag=True, help="Go on behind the last event that is there.")
@skip_invalid_option
@block_size_option
@secret_options("src_", of="the directory to copy from")
@secret_options("dst_", of="the directory to copy to")
def copy(
    *,
    origin: Place,
    goal: Place,
    only: Sequence[str],
    append: bool,
    skip_invalid: bool,
    block_size: int,
    src_secret: Secret,
    dst_secret: Secret,
) -> int:
    """Copy all events, with their ids, times and keys.

    Into a directory they keep their indexes as well; it must have no events yet in the same namespaces, and no
    server. From a directory, which may be in use, durable consumers and scheduled events come along. A running
    server gives new indexes.

    What was said of namespaces while a server ran comes along, except where the other place says something of them
    already. A running server makes those that it hasn't.

    From a server of another kind, which doesn't tell where its log ends, copying ends when no event has come for 5
    seconds, or at Ctrl-C; its events are given new indexes.

    An event of a server that can't be taken ends it. With --skip-invalid it is named and left out, and what comes
    after it gets the next indexes. With --append, what came before an error stays in the directory, and the same
    command goes on behind the last event that is there.
    """
    kept = "those before it are stored" if append or isinstance(goal, ServerAddress) else "nothing is stored"
    odd = OddEvents(skip=skip_invalid, note=note, kept=kept)
    cipher = make_cipher(dst_secret, block_size)
    with Companions.read(origin, secret=src_secret) if isinstance(origin, Path) else nullcontext() as companions:
        source = open_source(origin, cipher=make_cipher(src_secret), only=only)
        if append and (companions or isinstance(goal, ServerAddress)):
            raise click.UsageError("--append is for copying from a server to a directory")
        said = read_kept(source, only, into_directory=isinstance(goal, Path))
        if isinstance(goal, ServerAddress):
            status = _copy_events(source, ServerTarget(goal, odd=odd), said)
        else:
            target = DirectoryTarget(goal, cipher=cipher, odd=odd, keep=source.is_log, append=append)
            if companions and isinstance(source, DirectorySource):
                with target:
                    target.make_namespaces(said)
                    _copy_batches(source, target, rehash=src_secret != dst_secret)
                    companions.write(target, source.namespaces, src_secret=src_secret, dst_secret=dst_secret, note=note)
                return 0
            status = _copy_events(source, target, said, after=target.last_id if append else None)
    odd.report()
    return status


def _copy_batches(source: DirectorySource, target: DirectoryTarget, *, rehash: bool) -> None:
    with counting("copy", "copied", total=source.events) as count:
        for namespace in source.namespaces:
            writer = target.writer(namespace)
            for batches in source.batches(namespace):
                writer.append(batches, rehash=rehash)
                count(sum(batch.count for batch in batches))


def _copy_events(
    source: EventSource,
    target: EventTarget,
    said: Sequence[KeptNamespace],
    *,
    after: Callable[[str], str] | None = None,
) -> int:
    """Copy event by event, and what was *said* of namespaces; *after* says behind which event of one to begin."""
    with counting("copy", "copied", total=source.events) as count, target, _ending_at_interrupt(source):
        target.make_namespaces(said)
        for namespace in source.namespaces:
            for lines in source.lines(namespace, after=after(namespace) if after else ""):
                target.add(Piece(lines, namespace=namespace))
                count(lines.count(b"\n"))
    return 1 if target.refused else 0


@contextmanager
def _ending_at_interrupt(source: EventSource) -> Iterator[None]:
    """While the block runs, let Ctrl-C end the log of a server that doesn't tell its end; else it interrupts."""
    if not isinstance(source, ServerSource) or source.is_log:
        yield
        return
    previous = signal.signal(signal.SIGINT, lambda *_: source.stop())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
