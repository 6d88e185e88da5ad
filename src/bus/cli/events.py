"""``bus events``: what is stored, the newest first, a line of JSON each."""

from __future__ import annotations

import click
import msgspec

from bus.cli.console import emit
from bus.cli.server_options import server_options
from bus.client.core.stored_events import PAGE
from bus.frame import encode_line
from bus.transfer.server_address import ANSWER_SECONDS, ServerAddress


@click.command(
    epilog="""\b
Examples:
  bus events --subject "orders.>"
  bus events --subject "orders.>" --before 2026-01-31T00:00:00Z --limit 10
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
@click.option("--before", metavar="INDEX|TIME", help="Only what is before this index or time.")
@click.option("--limit", type=click.IntRange(1), default=50, metavar="N", help="End after N events.  [50]")
@server_options
def events(*, server: ServerAddress, subjects: tuple[str, ...], before: str | None, limit: int) -> None:
    """Print stored events, the newest first, each as one line of JSON.

    It ends where the log begins, if not before that. bus get --last prints the last events in their order.
    """
    with server.open_client(timeout=ANSWER_SECONDS) as client:
        start: int | str | None = before
        while limit:
            page = client.events.page(subjects, before=start, limit=min(limit, PAGE), payload_type=msgspec.Raw)
            for event in page.events:
                emit(encode_line(event))
            limit -= len(page.events)
            if page.next is None:
                return
            start = page.next
