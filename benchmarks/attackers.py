"""Clients that do their worst within the limits of the server.

Each attacker is given the port of a server, prepares what it needs, and goes on for ever. It yields how much it has got
done since it yielded last, first when all is prepared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import cycle

from benchmarks.wires import Asker, Wire, closed, drive, later
from bus.engine.embedded.batch_builder import BATCH_EVENTS
from bus.subject import MAX_PATTERNS

Attacker = Callable[[int], Iterator[int]]

BODY_BYTES = 4 * 1024 * 1024
CONSUMERS = 10_000
PREFETCH = 10_000
LEVELS = 60
"""Segments of a pattern behind its namespace: with so many, as many patterns as are allowed fill a request line."""

BRANCHES = 12
"""Of those, the ones in which patterns differ, so that a walk has to follow all of them to their ends."""

CONNECTIONS = 32
STREAMS = 64
PIPELINED = 64
REPLAYS = 4
BULK_SUBJECTS = 64
BULK_BATCHES = 40
PADDING = 150
"""Bytes of the payloads in a batch, so that it is nearly as large as a body may be."""

NAMED = 256
"""Events that one acknowledgement may name."""

LINES = 20_000
TICK = 0.1
"""Seconds after which a stream's deliveries are counted."""

_ANSWER = b"HTTP/1.1 "
_EVENT = b"\nid: "
_OPEN = b"event: open"
_DONE = b"event: done"


# -- what is sent


def request(method: str, target: str, body: bytes = b"", *, kind: str = "application/json") -> bytes:
    """A request with *body* of the type *kind*."""
    head = f"{method} {target} HTTP/1.1\r\nHost: bus\r\nAccept: text/event-stream\r\n"
    return f"{head}Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def subscribe(patterns: Sequence[str], **parameters: str) -> bytes:
    """A subscription to *patterns*."""
    query = "&".join([f"subject={','.join(patterns)}", *(f"{name}={value}" for name, value in parameters.items())])
    return request("GET", f"/?{query}")


def wild_patterns(stream: int = 0) -> list[str]:
    """As many patterns as a stream may have, all of which follow a `deep_subject` down to its last segment."""
    return [_wild_pattern(number) for number in range(stream * MAX_PATTERNS, (stream + 1) * MAX_PATTERNS)]


def _wild_pattern(number: int) -> str:
    branches = ["*" if number >> level & 1 else "a" for level in range(BRANCHES)]
    return ".".join(["app", *branches, *["*"] * (LEVELS - BRANCHES), "z"])


def deep_subject(number: int) -> str:
    """A subject of its own for each *number*, which no pattern takes."""
    return ".".join(["app", *["a"] * LEVELS, f"n{number}"])


def bulk_subject(number: int) -> str:
    """One of a few subjects."""
    return f"app.bulk.{number % BULK_SUBJECTS}"


def array(subject: Callable[[int], str], *, first: int = 0, padding: int = 0) -> bytes:
    """A batch as large as may be, of the events *first* and so on, with so many bytes of payload."""
    payload = "x" * padding
    events = (f'{{"subject":"{subject(first + number)}","payload":"{payload}"}}' for number in range(BATCH_EVENTS))
    return f"[{','.join(events)}]".encode()


def event(*parts: str) -> bytes:
    """An event whose payload is a list of *parts*, repeated until the body is as large as may be."""
    head, piece = '{"subject":"app.large","payload":[', ",".join(parts)
    times = (BODY_BYTES - len(head) - 2 + 1) // (len(piece) + 1)
    return f"{head}{','.join([piece] * times)}]}}".encode()


BRACKETS = ("[" * 254 + "]" * 254, '{"a":[{}]}')
ESCAPES = (r'"\\\"[{\"\\"', "[[]]")
NUMBERS = ("1e300", "-1.5e-300", "1" * 250)

UNKNOWN_FIELD = '{{"subject":"app.a","fiel{0}":1}}'
UNKNOWN_NAMESPACE = '{{"subject":"n{0}.a","payload":1}}'


def _consumer(number: int) -> bytes:
    body = f'{{"patterns":["app.*.c{number}.>","app.a.>"],"start":"oldest"}}'
    return request("PUT", f"/v1/consumers/c{number}", body.encode())


# -- how it is sent


def _ask(wire: Wire, data: bytes, answers: int = 1) -> int:
    """Send *data* and wait for as many answers; returns how many."""
    goal = wire.count + answers
    drive([wire], lambda: wire.count >= goal, begin=lambda: wire.send(data))
    return answers


def _ask_in_turn(port: int, requests: Sequence[bytes], *, answers: int = 1, each: int = 1) -> Iterator[int]:
    """Send *requests* in turn for ever, each of which has so many answers that count as *each*."""
    with closing(Wire(port, _ANSWER)) as wire:
        yield 0
        for data in cycle(requests):
            yield _ask(wire, data, answers) * each


def _fill(port: int, arrays: Sequence[bytes]) -> None:
    with closing(Wire(port, _ANSWER)) as wire:
        for body in arrays:
            _ask(wire, request("POST", "/", body))


def _counted(wires: Sequence[Wire]) -> Iterator[int]:
    """How much comes on *wires*, again and again."""
    while True:
        before = sum(wire.count for wire in wires)
        drive(wires, later(TICK), wait=TICK)
        yield sum(wire.count for wire in wires) - before


def _opened(port: int, asked: bytes) -> Wire:
    wire = Wire(port, _OPEN)
    _ask(wire, asked)
    return wire


# -- the attackers


def nobody(_: int) -> Iterator[int]:
    """Does nothing."""
    while True:
        yield 0
        time.sleep(TICK)


def many_publishers(port: int, *, depth: int = 1) -> Iterator[int]:
    """Connections that publish as fast as they can, each so many events before it waits for their answers."""
    asked = request("POST", "/", b'{"subject":"app.test","payload":{"n":12345}}') * depth
    with ExitStack() as stack:
        publishers = [Asker(port, _ANSWER, asked, answers=depth) for _ in range(CONNECTIONS)]
        closed(publishers, stack)
        for publisher in publishers:
            publisher.ask()
        yield from _counted(publishers)


def batches(port: int, *, subject: Callable[[int], str], padding: int = 0) -> Iterator[int]:
    """Publish batches as large as may be."""
    bodies = [array(subject, first=number * BATCH_EVENTS, padding=padding) for number in range(4)]
    yield from _ask_in_turn(port, [request("POST", "/", body) for body in bodies], each=BATCH_EVENTS)


def patterns(port: int, *, streams: int = 1) -> Iterator[int]:
    """Publish batches of subjects of their own, which wildcards follow to the end."""
    with ExitStack() as stack:
        closed([_opened(port, subscribe(wild_patterns(stream))) for stream in range(streams)], stack)
        yield from batches(port, subject=deep_subject)


def payloads(port: int, *, parts: Sequence[str]) -> Iterator[int]:
    """Publish payloads of *parts* as large as may be."""
    yield from _ask_in_turn(port, [request("POST", "/", event(*parts))])


def refused_lines(port: int, *, line: str) -> Iterator[int]:
    """Upload lines like *line*, with a number of its own in each, which all are refused."""
    lines = "".join(f"{line.format(number)}\n" for number in range(LINES)).encode()
    asked = request("POST", "/", lines, kind="application/x-ndjson")
    with closing(Wire(port, b'"status":')) as wire:
        yield 0
        while True:
            yield _ask(wire, asked, LINES)


def pipelined(port: int, *, method: str, target: str, body: bytes = b"") -> Iterator[int]:
    """Tiny requests as fast as one connection takes them."""
    asked = request(method, target, body) * PIPELINED
    with closing(Asker(port, _ANSWER, asked, answers=PIPELINED)) as asker:
        asker.ask()
        yield from _counted([asker])


def acknowledgements(port: int) -> Iterator[int]:
    """Acknowledge as many events that were never delivered as a request may name."""
    ids = ",".join(f"e_{number:08d}" for number in range(NAMED))
    with closing(Wire(port, _OPEN)) as reader:
        found: list[bytes] = []
        reader.observe = found.append
        _ask(reader, subscribe(["app.bulk.*"], ack="manual"))
        consumer = b"".join(found).partition(b'"consumer_id":"')[2].partition(b'"')[0].decode()
        yield from pipelined(port, method="PUT", target=f"/?consumer_id={consumer}&event_id={ids}")


def redelivery(port: int, *, wanted: str) -> Iterator[int]:
    """Let all that *wanted* takes of large batches come again and again."""
    _fill(port, [array(bulk_subject, padding=PADDING)] * BULK_BATCHES)
    terms = {"start": "oldest", "ack": "manual", "redelivery": "10ms", "redelivery_count": "0"}
    asked = subscribe([wanted], prefetch=str(PREFETCH), **terms)
    with closing(Wire(port, _EVENT, asked)) as reader:
        yield from _counted([reader])


def made_consumers(port: int) -> Iterator[int]:
    """Make durable consumers, and change them once all are there."""
    asked = [b"".join(map(_consumer, range(first, first + PIPELINED))) for first in range(0, CONSUMERS, PIPELINED)]
    yield from _ask_in_turn(port, asked, answers=PIPELINED)


def listed_consumers(port: int) -> Iterator[int]:
    """Make durable consumers, publish what all of them want, and ask how they fare."""
    with closing(Wire(port, _ANSWER)) as wire:
        for first in range(0, CONSUMERS, PIPELINED):
            _ask(wire, b"".join(map(_consumer, range(first, first + PIPELINED))), PIPELINED)
    _fill(port, [array(deep_subject)])
    wanted = request("POST", "/", b'{"subject":"app.a.test","payload":1}')
    yield from _ask_in_turn(port, [wanted, request("GET", "/v1/consumers")])


def replays(port: int) -> Iterator[int]:
    """Streams that read the whole log again and again, and take nothing of it."""
    _fill(port, [array(deep_subject, first=number * BATCH_EVENTS) for number in range(4)])
    asked = subscribe(wild_patterns(), start="oldest", follow="false")
    with ExitStack() as stack:
        readers = [Asker(port, _DONE, asked) for _ in range(REPLAYS)]
        closed(readers, stack)
        for reader in readers:
            reader.ask()
        yield from _counted(readers)
