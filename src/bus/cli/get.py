"""``bus get``: events as they come, a line of JSON each.

What the server says between them goes to standard error. A stream that has an end, by ``--limit`` or
``--follow=false``, is either complete or ends with status 1, because whoever reads its output can't tell.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

import click
import msgspec

from bus.cli.console import complain, emit, note
from bus.cli.option_types import DurationsType
from bus.cli.server_options import server_options
from bus.errors import ConnectionFailedError, TimedOutError
from bus.frame import encode_line
from bus.transfer.server_address import ANSWER_SECONDS, ServerAddress
from bus.transfer.server_questions import QUIET_END_SECONDS, tells_its_end

if TYPE_CHECKING:
    from bus.client.blocking.delivery import Delivery
    from bus.client.blocking.stream import Stream
    from bus.client.core.stream_notices import Dropped, Gap

AWAY_SECONDS = 10.0
"""Seconds that a server may be away before a stream that has an end counts as broken off."""

ABSENCE_LOOK_SECONDS = 0.5
"""Seconds between two looks at whether it is away."""


@click.command(
    epilog="""\b
Examples:
  bus get --subject "app.*"
  bus get --subject "orders.>" --start oldest --follow=false > orders.ndjson
  bus get --subject app.critical --ack manual --redelivery 10s
"""
)
@click.option(
    "--subject",
    "subjects",
    multiple=True,
    required=True,
    metavar="PATTERN",
    help="orders.paid, orders.* (one segment) or orders.> (all below); may be repeated.",
)
@click.option(
    "--start",
    default="newest",
    metavar="WHERE",
    help="newest, oldest, last (of each subject), an event's id (starts after it), an index, a time or an age like "
    "15m.  [newest]",
)
@click.option("--last", type=click.IntRange(1), metavar="N", help="Start with the last N events that match.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="End after N events.")
@click.option(
    "--follow",
    type=bool,
    is_flag=False,
    flag_value=True,
    default=True,
    metavar="BOOL",
    help="false: end where the log ended when the command came, wait for no more.  [true]",
)
@click.option("--no-follow", is_flag=True, help="The same as --follow=false.")
@click.option(
    "--ack",
    type=click.Choice(["none", "manual", "auto"]),
    default="none",
    help="auto: acknowledge what is printed; manual: bus ack does.  [none]",
)
@click.option(
    "--redelivery",
    type=DurationsType(),
    help="Deliver again what isn't acknowledged in this time; one or one per attempt.  [5s]",
)
@click.option("--redelivery-count", type=int, metavar="N", help="Deliveries in all, 0: no limit.  [3]")
@click.option("--prefetch", type=click.IntRange(1), metavar="N", help="Events in flight at once.  [1: strict order]")
@click.option("--order", type=click.Choice(["key"]), help="key: no two events of one key are in flight at once.")
@click.option("--consumer", metavar="NAME", help="Durable: keeps its position; several of one name share the work.")
@server_options
def get(
    *,
    server: ServerAddress,
    subjects: tuple[str, ...],
    start: str,
    last: int | None,
    ack: str,
    follow: bool,
    no_follow: bool,
    **options: Any,
) -> int:
    """Print events as they come, each as one line of JSON.

    It reconnects by itself and goes on where it was. Ctrl-C ends it. With --limit or --follow=false, the exit status
    is 1 if the server stays away before the end, or couldn't send some events.
    """
    _show_what_the_client_logs()
    if last and start != "newest":
        raise click.UsageError("--start and --last don't go together")
    follow = follow and not no_follow
    ends, quiet_end = not follow or options["limit"] is not None, not follow and not tells_its_end(server)
    stream = _Stream(ends=ends, quiet_end=quiet_end)
    wire_ack: Literal["none", "manual"] = "none" if ack == "none" else "manual"
    try:
        with (
            server.open_client(timeout=ANSWER_SECONDS) as client,
            client.get(
                subjects,
                start=-last if last else start,
                ack=wire_ack,
                follow=follow,
                payload_type=msgspec.Raw,
                timeout=ABSENCE_LOOK_SECONDS if stream.ends else None,
                on_gap=stream.miss,
                on_dropped=stream.give_up,
                **options,
            ) as events,
        ):
            _print_events(stream.read(events), ack)
    except KeyboardInterrupt:
        return 0
    return complain("the output is not complete: see above") if stream.ends and stream.incomplete else 0


def _print_events(events: Iterator[Delivery], ack: str) -> None:
    consumer = ""
    for event in events:
        if ack == "manual" and event.consumer_id != consumer:
            consumer = event.consumer_id
            note(f"acknowledge with: bus ack --consumer-id {consumer} --event-id …")
        emit(encode_line(event))
        if ack == "auto":
            event.ack()


@dataclass(slots=True)
class _Stream:
    """What is known of a stream besides its events.

    Attributes:
        ends: whether it has an end; then it is looked at from time to time.
        quiet_end: its end is that nothing comes, because the server doesn't tell.
        incomplete: whether the server couldn't send some events.
    """

    ends: bool
    quiet_end: bool
    incomplete: bool = False

    def miss(self, gap: Gap) -> None:
        from bus.client.core.stream_notices import log_gap

        self.incomplete = True
        log_gap(gap)

    def give_up(self, dropped: Dropped) -> None:
        from bus.client.core.stream_notices import log_dropped

        self.incomplete = True
        log_dropped(dropped)

    def read(self, events: Stream) -> Iterator[Delivery]:
        """The *events*, until their end. Raises `ConnectionFailedError` if that doesn't come."""
        quiet, away = monotonic(), 0.0
        while True:
            try:
                yield from events
            except TimedOutError:
                away = (away or monotonic()) if not events.consumer_id else 0.0
                if away and monotonic() - away >= AWAY_SECONDS:
                    raise ConnectionFailedError("the stream broke off before its end, the server is away") from None
                if self.quiet_end and monotonic() - quiet >= QUIET_END_SECONDS:
                    note(f"the server doesn't tell where its log ends: nothing came for {QUIET_END_SECONDS:g}s")
                    return
            else:
                return


class _Notes(logging.Handler):
    """Passes on what the client logs as lines of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        note(record.getMessage())


def _show_what_the_client_logs() -> None:
    """Gaps and events given up; a person is also told of lost connections."""
    level = logging.INFO if sys.stderr.isatty() else logging.WARNING
    logging.basicConfig(handlers=[_Notes()], level=level)
