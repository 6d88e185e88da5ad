"""Delivering: from the log, to many at once, and with acknowledgement."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from time import perf_counter

from benchmarks.loads.publish import Uploader, fill, waiting
from benchmarks.meter import Meter
from benchmarks.peers import REDIS
from benchmarks.peers.base import EVERYTHING, SUBJECT, Running, event
from benchmarks.peers.nats import CONNECT, Nats, publish
from benchmarks.stats import Figures, latencies
from benchmarks.wires import Crowd, Wire, closed, drive, later

SETTLE = 0.3
"""Seconds given to subscriptions, so that none misses what is published next."""


def replay(running: Running, seconds: float, *, events: int) -> Figures:
    """One subscriber, from the start, to all events."""
    fill(running, events)
    return read(running, EVERYTHING, events, wanted=events)


def scan(running: Running, seconds: float, *, events: int) -> Figures:
    """One subscriber, from the start, to every second event; the rate is of events scanned."""
    if running.peer is REDIS:
        return {}
    fill(running, events)
    return read(running, SUBJECT, events, wanted=events // 2)


def read(running: Running, pattern: str, events: int, *, wanted: int) -> Figures:
    """Replay the log until *wanted* events are here; the rate is of *events*."""
    with ExitStack() as stack:
        meter = Meter(running.server)
        subscriber = running.peer.subscriber(running.port, pattern, oldest=True)
        closed([subscriber], stack)
        drive([subscriber], lambda: subscriber.count >= wanted)
        return meter.figures(events)


def fan_out(running: Running, seconds: float, *, subscribers: int, events: int) -> Figures:
    """*events* uploaded to *subscribers*; the rate is of deliveries."""
    with ExitStack() as stack:
        listeners = subscribed(running, stack, subscribers)
        uploader = Uploader(running, events, seconds)
        closed([uploader], stack)
        meter, crowd = Meter(running.server), Crowd(listeners)

        def begin() -> None:
            meter.restart()
            uploader.more()

        drive([uploader, *listeners], lambda: uploader.done and crowd.reached(uploader.events), begin=begin)
        return meter.figures(uploader.events * subscribers)


def fan_out_core(running: Running, seconds: float, *, subscribers: int, events: int) -> Figures:
    """The same through core NATS, which stores nothing."""
    if not isinstance(running.peer, Nats):
        return {}
    with ExitStack() as stack:
        greeting = CONNECT + b"SUB core.test 1\r\n"
        listeners = [Wire(running.port, b"MSG core.", greeting) for _ in range(subscribers)]
        publisher = Wire(running.port, b"PONG", CONNECT)
        closed([publisher, *listeners], stack)
        drive(listeners, later(SETTLE), wait=0.05)
        meter = Meter(running.server)
        publisher.send(publish("core.test", event()) * events)
        drive([publisher, *listeners], lambda: all(each.count >= events for each in listeners))
        return meter.figures(events * subscribers)


def fan_out_waiting(running: Running, seconds: float, *, publishers: int) -> Figures:
    """Publishers that wait, and one subscriber; the rate is of deliveries."""
    with ExitStack() as stack:
        (listener,) = subscribed(running, stack, 1)
        thread = stack.enter_context(ThreadPoolExecutor(1))
        meter = Meter(running.server)
        publishing = thread.submit(waiting, running, seconds, connections=publishers)
        drive([listener], publishing.done, wait=0.05)
        return publishing.result() | meter.figures(listener.count)


def to_the_last(running: Running, seconds: float, *, subscribers: int) -> Figures:
    """One event after the other; latencies are from publishing one until the last subscriber has it."""
    with ExitStack() as stack:
        listeners = subscribed(running, stack, subscribers)
        asked = running.peer.exchange(event())
        publisher = Wire(running.port, asked.answer, asked.greeting)
        closed([publisher], stack)
        meter, crowd, taken, enough = Meter(running.server), Crowd(listeners), list[float](), later(seconds)
        began = 0.0

        def ask() -> None:
            nonlocal began
            began = perf_counter()
            publisher.send(asked.request)

        def done() -> bool:
            if crowd.reached(len(taken) + 1):
                taken.append(perf_counter() - began)
                if enough():
                    return True
                ask()
            return False

        drive([publisher, *listeners], done, begin=ask)
        return meter.figures(len(taken) * subscribers) | latencies(taken)


def subscribed(running: Running, stack: ExitStack, subscribers: int) -> list[Wire]:
    """Subscribers to all that is published from now on."""
    made = [running.peer.subscriber(running.port, EVERYTHING, oldest=False) for _ in range(subscribers)]
    closed(made, stack)
    drive(made, later(SETTLE + subscribers / 2000), wait=0.05)
    return made


def acknowledged(running: Running, seconds: float, *, events: int, window: int) -> Figures:
    """One consumer from the start, *window* events open at once, until all are confirmed as acknowledged."""
    events = fill(running, events, seconds) // window * window
    with ExitStack() as stack:
        meter = Meter(running.server)
        wires = closed(running.peer.acknowledger(running.port, window), stack)
        # Bus answers one request for a whole window, the others are counted by event.
        wanted = events // window if len(wires) > 1 else events
        drive(wires, lambda: wires[0].count >= wanted)
        return meter.figures(events)


def unconfirmed(running: Running, seconds: float, *, events: int, window: int) -> Figures:
    """The same without waiting for confirmations, where the peer has that."""
    if not isinstance(running.peer, Nats):
        return {}
    events = fill(running, events, seconds)
    with ExitStack() as stack:
        meter = Meter(running.server)
        wire = running.peer.acknowledging(running.port, window, confirmed=False)
        closed([wire], stack)
        drive([wire], lambda: wire.count >= events)
        return meter.figures(events)
