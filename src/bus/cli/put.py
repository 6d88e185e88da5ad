"""``bus put``: publishing from a shell."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click
import msgspec

from bus.cli.console import emit, say
from bus.cli.option_types import DurationType, HeaderType
from bus.cli.publish_lines import payload_of, publish_file
from bus.cli.server_options import server_options
from bus.event import Receipt
from bus.transfer.server_address import ServerAddress

if TYPE_CHECKING:
    from bus.client import Client


_LATER = ("delay", "deliver_at")
_IF = ("expect", "expect_subject")
_APART = (
    *(("request", other) for other in ("confirm", "response_subject", "id", *_LATER, *_IF)),
    *((one, other) for one in _IF for other in _LATER),
    *(("confirm", other) for other in _LATER),
    _LATER,
)
"""Options that contradict each other."""


@click.command(
    epilog="""\b
Examples:
  bus put --subject app.test --data '{"hello": "world"}'
  bus put --subject math.add --data '{"a": 1, "b": 2}' --request
  bus put --file events.ndjson
  tail -F access.log | bus put --subject logs.access --stdin --quiet
"""
)
@click.option("--subject", metavar="SUBJECT", help="What the event is about, like orders.created.")
@click.option("--data", metavar="DATA", help="The payload: JSON as it stands, anything else as a JSON string.")
@click.option("--file", metavar="FILE", help="Publish each line of a file; - is standard input.")
@click.option("--stdin", is_flag=True, help="Publish each line of standard input.")
@click.option("--key", metavar="KEY", help="Refuse the event if this subject had this key before.")
@click.option("--trace-id", metavar="ID", help="Carried along for tracing.")
@click.option("--id", metavar="ID", help="The event's id; made by the server if left out.")
@click.option("--response-subject", metavar="INBOX", help="Where a reply goes, like _bus_.3f9c.")
@click.option("--header", type=HeaderType(), multiple=True, metavar="K=V", help="Goes along; may be repeated.")
@click.option("--ttl", type=DurationType(), metavar="TIME", help="Deliver it only so long, like 15m.")
@click.option("--delay", type=DurationType(), metavar="DURATION", help="Publish it only after this time, like 15m.")
@click.option("--deliver-at", metavar="TIME", help="Publish it only then, like 2026-01-31T12:00:00Z.")
@click.option("--expect", type=click.IntRange(0), metavar="INDEX", help="Only if this is the namespace's last index.")
@click.option(
    "--expect-subject", type=click.IntRange(0), metavar="INDEX",
    help="Only if this is the subject's last index; 0: it has no event yet.",
)  # fmt: skip
@click.option("--confirm", type=click.IntRange(1), metavar="N", help="Wait until N consumers have acknowledged.")
@click.option("--request", is_flag=True, help="Wait for the reply of a service and print its payload.")
@click.option("--timeout", type=DurationType(), default="5s", help="How long to wait for an answer.  [5s]")
@click.option("-q", "--quiet", is_flag=True, help="Print no receipts.")
@server_options
def put(
    *,
    server: ServerAddress,
    timeout: float,
    subject: str | None,
    data: str | None,
    file: str | None,
    stdin: bool,
    quiet: bool,
    **single: Any,
) -> int:
    """Publish one event, or each line of a file.

    With --file or --stdin, each line is a whole event: {"subject": …, "payload": …}. If --subject is given as
    well, each line is a payload instead, read like --data. A line that is refused is named by its number on
    standard error, the others are published, and the exit status is 1.

    Prints a receipt for each stored event: a line of JSON with id, created_at and index. Of an event that is
    published later it is the id and the schedule_id, by which bus schedule cancels it.
    """
    source = "-" if stdin else file
    _check_put(subject=subject, data=data, source=source, single=single)
    with server.open_client(timeout=timeout) as client:
        if source is not None:
            return publish_file(client, source, subject=subject, quiet=quiet)
        assert subject is not None and data is not None
        return _put_one(client, subject, data, quiet=quiet, **single)


def _check_put(*, subject: str | None, data: str | None, source: str | None, single: dict[str, Any]) -> None:
    """Refuse options that don't go together, before anything is sent."""
    if (data is None) == (source is None):
        raise click.UsageError("give one of --data, --file and --stdin")
    if data is not None and not subject:
        raise click.UsageError("--data needs --subject")
    given = [name for name, value in single.items() if value or (name in _IF and value is not None)]
    if source is not None and given:
        raise click.UsageError(f"{_flag(given[0])} is for a single event, given by --data")
    for one, other in _APART:
        if one in given and other in given:
            raise click.UsageError(f"{_flag(one)} and {_flag(other)} don't go together")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _put_one(
    client: Client,
    subject: str,
    data: str,
    *,
    header: tuple[tuple[str, str], ...],
    ttl: float | None,
    request: bool,
    confirm: int | None,
    quiet: bool,
    **fields: Any,
) -> int:
    payload = payload_of(os.fsencode(data))
    headers = dict(header)
    if request:
        reply = client.request(
            subject, payload, key=fields["key"], trace_id=fields["trace_id"], headers=headers, ttl=ttl
        )
        emit(msgspec.json.encode(reply))
        return 0
    receipt = client.put(subject, payload, confirm=confirm or 0, headers=headers, ttl=ttl, **fields)
    if not quiet:
        _show(receipt, subject)
    return 0


def _show(receipt: Receipt, subject: str) -> None:
    """A sentence for a person, a line of JSON for a program."""
    if receipt.schedule_id:
        _show_scheduled(receipt, subject)
    elif sys.stdout.isatty():
        say(f"stored in {subject} as {receipt.id}, index {receipt.index}")
    else:
        emit(msgspec.json.encode(receipt))


def _show_scheduled(receipt: Receipt, subject: str) -> None:
    if sys.stdout.isatty():
        say(f"scheduled for {subject} as {receipt.schedule_id}")
    else:
        emit(msgspec.json.encode({"id": receipt.id, "schedule_id": receipt.schedule_id}))
