"""What a log goes through in its life, in one thread, so that it can be killed at each of its system calls.

    workload.py DIRECTORY [SECRET]

After each step it says what is promised from then on: ``kept N`` (the events up to N are durable), ``dropping N``
(those before N may be gone), ``deleting`` (those that `is_doomed` may be empty) and ``deleted`` (they are). Every
event's frame is its index, so anybody can check it.
"""

from __future__ import annotations

import os
import sys
from array import array
from pathlib import Path

from bus.storage import Batch, Cipher, Log

SEGMENT_BYTES = 1024


def say(what: str) -> None:
    os.write(1, f"{what}\n".encode())


def frame_of(index: int) -> bytes:
    """The frame of the event *index*, as it is in every run."""
    return f"event {index} ".encode() * 8


def batch_of(first: int, count: int) -> Batch:
    """A batch of *count* events; the ids of some don't carry their index, and some have keys."""
    frames = [frame_of(index) for index in range(first, first + count)]
    client_ids = ((first * 7919, first),) if first % 3 == 0 else ()
    lengths = array("I", map(len, frames))
    return Batch(first, first + count, first, b"".join(frames), lengths, (b"app.a",), b"", count > 1, client_ids)


def append(log: Log, *counts: int) -> None:
    """Batches of *counts* events, synced once."""
    for count in counts:
        log.append(batch_of(log.next, count))
    log.sync()


def is_doomed(index: int) -> bool:
    """Whether the event is among those that are deleted, which are in closed segments."""
    return index in (4, 8)


def delete(log: Log) -> None:
    """Delete what is doomed."""
    for segment in log.segments:
        if rewritten := log.rewrite((segment,), lambda batch: {*filter(is_doomed, range(batch.first, batch.next))}):
            log.replace(rewritten)
            log.finish(rewritten)


def merge(log: Log) -> None:
    """Make one segment of all that are closed."""
    closed = [segment for segment in log.segments if not segment.active]
    rewritten = log.rewrite(closed, lambda batch: (), fill=1 << 20, condense=True)
    assert rewritten and len(rewritten.origins) > 1
    log.replace(rewritten)
    log.finish(rewritten)


def cipher_of(secret: str) -> Cipher | None:
    return Cipher(secret, block_size=256) if secret else None


def open_log(directory: Path, secret: str) -> Log:
    return Log.open(directory, cipher=cipher_of(secret), segment_bytes=SEGMENT_BYTES, preallocate=True)


def run(directory: Path, secret: str = "") -> None:
    """Open, fill several segments, drop the oldest, close; open again, go on, merge, and leave without closing."""
    with open_log(directory, secret) as log:
        for counts in ((1,), (3,), (2,), (4,), (1,), (3,), (1, 2)):
            append(log, *counts)
            say(f"kept {log.next - 1}")
        say("deleting")
        delete(log)
        say("deleted")
        oldest_kept = log.segments[2].first
        say(f"dropping {oldest_kept}")
        log.drop_before(oldest_kept)
    log = open_log(directory, secret)
    append(log, 2)
    say(f"kept {log.next - 1}")
    for _ in range(2):
        log.roll()
        append(log, 1)
        say(f"kept {log.next - 1}")
    merge(log)
    append(log, 1)
    say(f"kept {log.next - 1}")


if __name__ == "__main__":
    run(Path(sys.argv[1]), *sys.argv[2:])
