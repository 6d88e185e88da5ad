"""What encryption costs: publishing to and replaying from a real server, plain and with three block sizes.

    python benchmarks/encrypted.py             300,000 events, three rounds in turn, medians
    python benchmarks/encrypted.py 50000 1     fewer events, fewer rounds

Events are published as NDJSON under ``fsync=always`` and replayed by one subscriber from the start.
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

LINE = b'{"subject":"app.test","payload":{"user":"123","name":"Alice Wonder","n":12345}}\n'
BLOCK_SIZES = ("plain", "4096", "8192", "16384")


@contextmanager
def server(block_size: str) -> Iterator[int]:
    """A server on an empty directory, encrypted unless *block_size* is ``plain``; yields its port."""
    directory = tempfile.mkdtemp(prefix="bus-encrypted-")
    encrypted = {} if block_size == "plain" else {"BUS_SECRET_KEY": "benchmark", "BUS_BLOCK_SIZE": block_size}
    command = [sys.executable, "-m", "bus", "server", "--addr", "127.0.0.1:0", "--path", directory]
    process = subprocess.Popen(
        [*command, "--namespaces", "app"], stderr=subprocess.PIPE, text=True, env={**os.environ, **encrypted}
    )
    assert process.stderr
    try:
        line = next(line for line in process.stderr if "listening on" in line)
        yield int(line.partition("127.0.0.1:")[2].split()[0])
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()
        shutil.rmtree(directory)


def publish(port: int, events: int) -> float:
    """Events per second until the last receipt is here."""
    body = LINE * events
    head = b"POST / HTTP/1.1\r\nHost: bus\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port)) as connection:
        began = time.perf_counter()
        sending = threading.Thread(target=connection.sendall, args=(head % len(body) + body,))
        sending.start()
        tail = b""
        while not tail.endswith(b"0\r\n\r\n"):
            tail = (tail + connection.recv(1 << 20))[-5:]
        sending.join()
    return events / (time.perf_counter() - began)


def replay(port: int, events: int) -> float:
    """Events per second until the stream ends."""
    request = b"GET /?subject=app.%3E&start=oldest&follow=false HTTP/1.1\r\nHost: bus\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port)) as connection:
        began = time.perf_counter()
        connection.sendall(request)
        while connection.recv(1 << 20):
            pass
    return events / (time.perf_counter() - began)


def measure(block_size: str, events: int) -> tuple[float, float]:
    with server(block_size) as port:
        return publish(port, events), replay(port, events)


def main() -> None:
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    found: dict[str, list[tuple[float, float]]] = {block_size: [] for block_size in BLOCK_SIZES}
    for _ in range(rounds):
        for block_size in BLOCK_SIZES:
            found[block_size].append(measure(block_size, events))
    print("| block size | publish, events/s | replay, events/s |\n|---|---|---|")
    for block_size, pairs in found.items():
        published, replayed = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"| {block_size} | {published:,.0f} | {replayed:,.0f} |")


if __name__ == "__main__":
    main()
