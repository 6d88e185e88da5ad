"""Asking and answering, and the way of one event from publisher to subscriber."""

from __future__ import annotations

import multiprocessing
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import cycle
from multiprocessing.synchronize import Event

from benchmarks.loads import tools
from benchmarks.loads.deliver import subscribed
from benchmarks.meter import Meter
from benchmarks.peers import REDIS
from benchmarks.peers.base import SUBJECT, Running, event
from benchmarks.peers.bus import Bus, Replier
from benchmarks.peers.nats import CONNECT, publish
from benchmarks.stats import Figures, latencies
from benchmarks.wires import Asker, Wire, closed, drive, later

PUBLISHES_PER_SECOND = 500
PUBLISHERS = 8
"""Connections that publish in turn, so that an event doesn't wait for the answer to the one before."""

WINDOW = 32
"""Requests that the service of Bus has in hand at once."""

_SENT = re.compile(rb'"sent":(\d+)')
_REQUEST = re.compile(rb"^MSG ask 1 (\S+) \d+\r\n", re.M)


def request_reply(
    running: Running, seconds: float, *, clients: int, replies: int = WINDOW, subject: str = SUBJECT
) -> Figures:
    """*clients* that ask and wait for the reply of one service, a process of its own.

    The service of Bus replies on so many connections as *replies* says, that of NATS on the one it has.
    """
    if running.peer is REDIS:
        return {}
    with _service(running, replies, subject):
        if isinstance(running.peer, Bus):
            return tools.wrk(running, seconds, event(subject), connections=clients, path="/?wait=reply&timeout=10s")
        return _ask_nats(running, seconds, clients)


def _ask_nats(running: Running, seconds: float, clients: int) -> Figures:
    with ExitStack() as stack:
        askers = []
        for number in range(clients):
            inbox = f"reply.{number}"
            greeting = CONNECT + f"SUB {inbox} 1\r\n".encode()
            request = publish("ask", event(), inbox)
            askers.append(Asker(running.port, b"MSG reply.", request, greeting=greeting))
        closed(askers, stack)
        meter = Meter(running.server)
        for asker in askers:
            asker.ask()
        drive(askers, later(seconds))
        taken = [latency for asker in askers for latency in asker.latencies]
        return meter.figures(len(taken)) | latencies(taken)


@contextmanager
def _service(running: Running, replies: int, subject: str) -> Iterator[None]:
    ready = multiprocessing.Event()
    if isinstance(running.peer, Bus):
        process = multiprocessing.Process(target=_serve_bus, args=(running.port, ready, replies, subject), daemon=True)
    else:
        process = multiprocessing.Process(target=_serve_nats, args=(running.port, ready), daemon=True)
    process.start()
    try:
        ready.wait(10)
        yield
    finally:
        process.kill()
        process.join()


def _serve_bus(port: int, ready: Event, replies: int, subject: str) -> None:
    wires = [Wire(port, b"HTTP/1.1 202") for _ in range(replies)]
    service = Replier(port, subject, WINDOW, wires)
    drive([service, *wires], lambda: bool(service.consumer))
    ready.set()
    drive([service, *wires], lambda: False)


class _NatsService(Wire):
    def took(self, data: bytes, found: int) -> bytes:
        whole = data.rfind(b"\r\n") + 2
        asked = _REQUEST.findall(data, 0, whole)
        if asked:
            self.send(b"".join(publish(inbox.decode(), b"{}") for inbox in asked))
        return data[whole:]


def _serve_nats(port: int, ready: Event) -> None:
    service = _NatsService(port, b"MSG ask", CONNECT + b"SUB ask 1\r\nPING\r\n")
    drive([service], later(0.3), wait=0.05)
    ready.set()
    drive([service], lambda: False)


def to_delivery(running: Running, seconds: float) -> Figures:
    """Publishers in turn at a steady pace, and one subscriber; latencies are from sending until the event is here."""
    with ExitStack() as stack:
        taken: list[float] = []
        (listener,) = subscribed(running, stack, 1)
        exchange = running.peer.exchange(_stamped())
        publishers = [Wire(running.port, exchange.answer, exchange.greeting) for _ in range(PUBLISHERS)]
        closed(publishers, stack)
        meter = Meter(running.server)
        _pace(running, listener, publishers, seconds, taken)
        return meter.figures(len(taken)) | latencies(taken)


def _stamped() -> bytes:
    return b'{"subject":"app.test.a","payload":{"sent":%d,"fill":"%b"}}' % (time.time_ns(), b"x" * 12)


def _pace(running: Running, listener: Wire, publishers: Sequence[Wire], seconds: float, taken: list[float]) -> None:
    def observe(data: bytes) -> None:
        now = time.time_ns()
        stamps = _SENT.findall(data)[: listener.count - len(taken)]
        taken.extend((now - int(stamp)) / 1e9 for stamp in stamps)

    listener.observe = observe
    end, step = time.perf_counter() + seconds, 1 / PUBLISHES_PER_SECOND
    following, turn = time.perf_counter(), cycle(publishers)

    def tick() -> bool:
        nonlocal following
        now = time.perf_counter()
        if now >= following:
            following += step
            next(turn).send(running.peer.exchange(_stamped()).request)
        return now >= end

    drive([listener, *publishers], tick, wait=step / 20)
