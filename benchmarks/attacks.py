"""What one client can do to the others: how long an honest one waits beside each that does its worst.

    python -m benchmarks.attacks            10 seconds of each attack
    python -m benchmarks.attacks 5          5 seconds
    python -m benchmarks.attacks 5 redeliv  those attacks alone whose name holds the word

Each attack has a server of its own, under ``fsync=never``, so that the disk isn't measured, and a process of its own
that stays within the limits. The honest client publishes a small event every 20 ms on one connection that is kept, and
whose first answer doesn't count. While an answer is late it can't ask, so those who would have asked meanwhile, every
20 ms, count as well: each would have waited for the rest of that time.
"""

from __future__ import annotations

import multiprocessing
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event

from benchmarks import attackers
from benchmarks.attackers import Attacker
from benchmarks.servers import free_port, serving, work_directory
from benchmarks.stats import percentile
from benchmarks.wires import LoadError

PERIOD = 0.020
GOAL_MS = 50.0
PREPARE_SECONDS = 120.0

_EVENT = attackers.request("POST", "/", b'{"subject":"app.honest","payload":{"n":12345}}')


@dataclass(frozen=True, slots=True)
class Attack:
    """What *attacker* does, counted in *unit*, to a server with *flags*."""

    attacker: Attacker
    unit: str
    flags: tuple[str, ...] = ()


_ENCRYPTED = ("--secret-key", "benchmark")
_MANY_CONSUMERS = ("--max-consumers", str(attackers.CONSUMERS + attackers.PIPELINED))

ATTACKS: Mapping[str, Attack] = {
    "nobody": Attack(attackers.nobody, "requests"),
    "32 connections that publish": Attack(attackers.many_publishers, "events"),
    "32 connections that publish, pipelined": Attack(
        partial(attackers.many_publishers, depth=attackers.PIPELINED), "events"
    ),
    "64 patterns on a stream, subjects of their own": Attack(attackers.patterns, "events"),
    "64 patterns on each of 64 streams": Attack(partial(attackers.patterns, streams=attackers.STREAMS), "events"),
    "batches of 16,384 events, 64 subjects": Attack(
        partial(attackers.batches, subject=attackers.bulk_subject, padding=attackers.PADDING), "events"
    ),
    "batches of 16,384 events, subjects of their own": Attack(
        partial(attackers.batches, subject=attackers.deep_subject), "events"
    ),
    "4 MiB of brackets": Attack(partial(attackers.payloads, parts=attackers.BRACKETS), "events"),
    "4 MiB of escapes": Attack(partial(attackers.payloads, parts=attackers.ESCAPES), "events"),
    "4 MiB of numbers": Attack(partial(attackers.payloads, parts=attackers.NUMBERS), "events"),
    "refused lines: a field unknown": Attack(partial(attackers.refused_lines, line=attackers.UNKNOWN_FIELD), "lines"),
    "refused lines: a namespace unknown": Attack(
        partial(attackers.refused_lines, line=attackers.UNKNOWN_NAMESPACE), "lines"
    ),
    "pipelined events": Attack(
        partial(attackers.pipelined, method="POST", target="/", body=b'{"subject":"app.a"}'), "requests"
    ),
    "pipelined requests for nothing": Attack(partial(attackers.pipelined, method="GET", target="/x"), "requests"),
    "acknowledgements of 256 unknown events": Attack(attackers.acknowledgements, "requests"),
    "redelivery of all": Attack(partial(attackers.redelivery, wanted="app.bulk.*"), "deliveries"),
    "redelivery of some of each batch": Attack(partial(attackers.redelivery, wanted="app.bulk.7"), "deliveries"),
    "redelivery of all, encrypted": Attack(
        partial(attackers.redelivery, wanted="app.bulk.*"), "deliveries", _ENCRYPTED
    ),
    "redelivery of some of each encrypted batch": Attack(
        partial(attackers.redelivery, wanted="app.bulk.7"), "deliveries", _ENCRYPTED
    ),
    "10,000 consumers made": Attack(attackers.made_consumers, "requests", _MANY_CONSUMERS),
    "10,000 consumers listed beside events": Attack(attackers.listed_consumers, "requests", _MANY_CONSUMERS),
    "4 replays that take nothing": Attack(attackers.replays, "replays"),
}


# -- the attacker's process


@dataclass(frozen=True, slots=True)
class Tally:
    """How far the attacker is, for the process that measures."""

    prepared: Event = field(default_factory=multiprocessing.Event)
    done: Synchronized[int] = field(default_factory=partial(multiprocessing.Value, "q"))


def _attack(attacker: Attacker, port: int, tally: Tally) -> None:
    for amount in attacker(port):
        tally.done.value += amount
        tally.prepared.set()


@contextmanager
def _attacking(attacker: Attacker, port: int) -> Iterator[Tally]:
    """Run *attacker*, prepared, until the block ends. Raises `LoadError` if it came to an end before."""
    tally = Tally()
    process = multiprocessing.Process(target=_attack, args=(attacker, port, tally), daemon=True)
    process.start()
    try:
        prepared = tally.prepared.wait(PREPARE_SECONDS)
        if prepared:
            yield tally
        if not (prepared and process.is_alive()):
            raise LoadError("the attacker could not go on")
    finally:
        process.kill()
        process.join()


# -- the honest client


@dataclass(frozen=True, slots=True)
class Honest:
    """What the honest client saw: seconds until each answer, and how many refused it."""

    waits: list[float] = field(default_factory=list)
    refused: list[bytes] = field(default_factory=list)

    def row(self, name: str, done: str) -> str:
        """The row of the table for the attack *name*, which got so much *done*."""
        ordered = [1000 * wait for wait in sorted(self.waits)]
        p99 = percentile(ordered, 99)
        met = "yes" if p99 < GOAL_MS and not self.refused else "no"
        refused = f", {len(self.refused)} refused" if self.refused else ""
        return f"| {name} | {percentile(ordered, 50):.2f} | {p99:.2f} | {ordered[-1]:.2f} | {done} | {met}{refused} |"


def _be_honest(port: int, seconds: float) -> Honest:
    found = Honest()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _exchange(connection)
        end = time.perf_counter() + seconds
        while (began := time.perf_counter()) < end:
            answer = _exchange(connection)
            wait = time.perf_counter() - began
            found.waits.extend(waits(wait))
            if not answer.startswith(b"HTTP/1.1 202 "):
                found.refused.append(answer)
            time.sleep(PERIOD - wait % PERIOD)
    return found


def waits(wait: float) -> Iterator[float]:
    """The *wait* for an answer, and those of who would have asked meanwhile."""
    while wait > 0:
        yield wait
        wait -= PERIOD


def _exchange(connection: socket.socket) -> bytes:
    """Publish an event. Raises `LoadError` if the server hangs up."""
    connection.sendall(_EVENT)
    if not (answer := connection.recv(65536)):
        raise LoadError("the server hung up on the honest client")
    return answer


# -- all of it


def measure(name: str, attack: Attack, seconds: float) -> str:
    """The row of *attack*."""
    port = free_port()
    command = [sys.executable, "-m", "bus", "server", "--addr", f"127.0.0.1:{port}", "--namespaces", "app"]
    with (
        work_directory(None) as directory,
        serving([*command, "--fsync", "never", *attack.flags], port, directory),
        _attacking(attack.attacker, port) as tally,
    ):
        before = tally.done.value
        found = _be_honest(port, seconds)
        return found.row(name, f"{tally.done.value - before:,} {attack.unit}")


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    word = sys.argv[2] if len(sys.argv) > 2 else ""
    print(f"| attack | p50, ms | p99, ms | max, ms | got done | p99 under {GOAL_MS:g} ms |\n|---|---|---|---|---|---|")
    for name, attack in ATTACKS.items():
        if word in name:
            print(measure(name, attack, seconds), flush=True)


if __name__ == "__main__":
    main()
