"""``bus delete``: events, for good."""

from __future__ import annotations

import sys

import click
import msgspec

from bus.cli.console import emit, say
from bus.cli.option_types import DurationType
from bus.cli.server_options import server_options
from bus.transfer.server_address import ServerAddress


@click.command(
    epilog="""\b
Examples:
  bus delete --subject "users.17.>"
  bus delete --subject "logs.>" --before 2026-01-31T00:00:00Z
  bus delete --id e_00000000002a7f3k9q2xw0
  bus delete --id invoice-17 --namespace orders
"""
)
@click.option("--subject", metavar="PATTERN", help="Delete what this pattern takes.")
@click.option("--before", metavar="INDEX|TIME", help="Of these, only what is before this index or time.")
@click.option("--id", "event_id", metavar="ID", help="Delete the event with this id.")
@click.option("--namespace", metavar="NAME", help="Where it is, if several namespaces have an event with this id.")
@click.option("--timeout", type=DurationType(), default="10m", help="How long to wait for an answer.  [10m]")
@server_options
def delete(
    *,
    server: ServerAddress,
    subject: str | None,
    before: str | None,
    event_id: str | None,
    namespace: str | None,
    timeout: float,
) -> None:
    """Delete events of a server for good: their bytes are gone from its disk when this returns.

    Their indexes are not given again. Subscribers pass by, and consumers needn't settle them. Dead letters that
    stand for them go with them. Backups keep what they have.
    """
    if (subject is None) == (event_id is None):
        raise click.UsageError("give one of --subject and --id")
    if before and event_id:
        raise click.UsageError("--before goes with --subject")
    if namespace and subject:
        raise click.UsageError("--namespace goes with --id: a pattern names its namespace")
    with server.open_client(timeout=timeout) as client:
        if event_id:
            deleted = client.events.delete(event_id, namespace=namespace)
        else:
            deleted = client.events.delete_matching(subject or "", before=before)
    if sys.stdout.isatty():
        say(f"deleted {deleted} events")
    else:
        emit(msgspec.json.encode({"deleted": deleted}))
