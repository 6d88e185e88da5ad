"""``bus ack``: saying from a shell that an event is done."""

from __future__ import annotations

from typing import Literal

import click

from bus.cli.option_types import DurationType
from bus.cli.server_options import server_options
from bus.transfer.server_address import ANSWER_SECONDS, ServerAddress


@click.command(
    epilog="""\b
Examples:
  bus ack --consumer-id c_xxx --event-id e_yyy
  bus ack --consumer-id c_xxx --event-id e_yyy --action nack --delay 30s
"""
)
@click.option("--consumer-id", required=True, metavar="ID", help="The consumer that got the event, as get names it.")
@click.option("--event-id", "event_ids", multiple=True, required=True, metavar="ID", help="The event; may be repeated.")
@click.option(
    "--action",
    type=click.Choice(["ack", "nack", "extend", "reject"]),
    default="ack",
    help="nack: deliver again; extend: still at work on it; reject: give it up.  [ack]",
)
@click.option("--delay", type=DurationType(), help="nack: when to deliver again; extend: how much more time.")
@click.option("--reason", default="", metavar="TEXT", help="nack and reject: why.")
@server_options
def ack(
    *,
    server: ServerAddress,
    consumer_id: str,
    event_ids: tuple[str, ...],
    action: Literal["ack", "nack", "extend", "reject"],
    delay: float | None,
    reason: str,
) -> None:
    """Acknowledge an event that was delivered under --ack manual, or give it back."""
    with server.open_client(timeout=ANSWER_SECONDS) as client:
        client.ack(consumer_id, event_ids, action=action, delay=delay, reason=reason)
