"""Publishing: by publishers that wait for each answer, and by one that doesn't."""

from __future__ import annotations

from contextlib import ExitStack, closing

from benchmarks.loads import tools
from benchmarks.meter import Meter
from benchmarks.peers import REDIS
from benchmarks.peers.base import EVENT_BYTES, Running, event
from benchmarks.peers.bus import Bus
from benchmarks.stats import Figures, latencies
from benchmarks.wires import PATIENCE, Asker, Wire, closed, drive, later


def waiting(running: Running, seconds: float, *, connections: int) -> Figures:
    """Publishers that wait, driven by the best load generator there is for the peer."""
    if isinstance(running.peer, Bus):
        return tools.wrk(running, seconds, event(), connections=connections)
    if running.peer is REDIS:
        return tools.redis_benchmark(running, seconds, event(), connections=connections)
    return raw(running, seconds, connections=connections)


def askers(running: Running, stack: ExitStack, *, connections: int, size: int = EVENT_BYTES) -> list[Asker]:
    """Connected publishers that have yet to begin."""
    exchanges = [running.peer.exchange(event(size=size), number) for number in range(connections)]
    made = [Asker(running.port, each.answer, each.request, greeting=each.greeting) for each in exchanges]
    closed(made, stack)
    return made


def raw(running: Running, seconds: float, *, connections: int, size: int = EVENT_BYTES) -> Figures:
    """Publishers that wait, driven by this process."""
    with ExitStack() as stack:
        publishers = askers(running, stack, connections=connections, size=size)
        meter = Meter(running.server)
        for publisher in publishers:
            publisher.ask()
        drive(publishers, later(seconds))
        taken = [latency for publisher in publishers for latency in publisher.latencies]
        return meter.figures(len(taken)) | latencies(taken)


class Uploader(Wire):
    """Keeps a window of blocks open until *events* are sent, or *seconds* are over."""

    def __init__(self, running: Running, events: int, seconds: float) -> None:
        upload = running.peer.upload(events)
        self.events = 0
        self._block, self._size = upload.block, upload.size
        self._left = -(-events // upload.size)
        self._window = upload.window * upload.size
        self._over = later(seconds)
        super().__init__(running.port, upload.answer, upload.greeting)

    @property
    def done(self) -> bool:
        """Whether all that was sent is answered, and no more is to be sent."""
        return self.count >= self.events and not self._left

    def more(self) -> None:
        """Send what fits into the window."""
        while self._left and self.events - self.count + self._size <= self._window:
            self._left = 0 if self._over() else self._left - 1
            self.events += self._size
            self.send(self._block)

    def took(self, data: bytes, found: int) -> bytes:
        if found:
            self.more()
        return super().took(data, found)


def pipelined(running: Running, seconds: float, *, events: int) -> Figures:
    """One publisher that doesn't wait for each answer: *events*, or what the peer takes in *seconds*."""
    with closing(Uploader(running, events, seconds)) as uploader:
        meter = Meter(running.server)
        uploader.more()
        drive([uploader], lambda: uploader.done)
        return meter.figures(uploader.events)


def fill(running: Running, events: int, seconds: float = PATIENCE) -> int:
    """Publish *events*, or what the peer takes in *seconds*; returns how many these were."""
    with closing(Uploader(running, events, seconds)) as uploader:
        uploader.more()
        drive([uploader], lambda: uploader.done)
        return min(uploader.events, events)
