"""A server in miniature: its streams are played one after the other, what is said of events is taken and noted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any
from urllib.parse import parse_qs, urlsplit

from bus.errors import UnknownConsumerError
from bus.wire import encode_problem
from tests.client.support import Peer, Wire, answered
from tests.support import PATIENCE

MOST_CONNECTIONS = 40

Play = Callable[[Wire], Any]


class Stub:
    """Plays *streams*; the first is of consumer ``c_1``, the second of ``c_2`` …

    ``asked`` are the parameters of each subscription, ``said`` what was acknowledged and how, as tuples of
    consumer, action and event. What is said of a consumer in ``gone`` is refused. Answers wait for ``answers``.
    """

    def __init__(self, *streams: Play) -> None:
        self.asked: SimpleQueue[dict[str, str]] = SimpleQueue()
        self.said: SimpleQueue[tuple[str, str, str]] = SimpleQueue()
        self.reasons: SimpleQueue[str] = SimpleQueue()
        self.gone: set[str] = set()
        self.answers = threading.Event()
        self.answers.set()
        self._streams = list(streams)
        self._lock = threading.Lock()
        self._peer = Peer(*[self._serve] * MOST_CONNECTIONS)
        self.url = self._peer.url

    def _serve(self, wire: Wire) -> None:
        while True:
            try:
                request = wire.request()
            except EOFError:
                return
            method, target, _ = request.split(b" ", 2)
            query = {name: values[0] for name, values in parse_qs(urlsplit(target.decode()).query).items()}
            if method == b"GET":
                self._play(wire, query)
                return
            wire.send(self._settle(query))

    def _play(self, wire: Wire, query: dict[str, str]) -> None:
        self.asked.put(query)
        with self._lock:
            play = self._streams.pop(0) if self._streams else Wire.until_closed
        play(wire)

    def _settle(self, query: dict[str, str]) -> bytes:
        consumer_id = query["consumer_id"]
        if consumer_id in self.gone:
            return answered(b"404 Not Found", encode_problem(UnknownConsumerError(f"consumer {consumer_id} is gone")))
        if "reason" in query:
            self.reasons.put(query["reason"])
        for event_id in query["event_id"].split(","):
            self.said.put((consumer_id, query.get("action", "ack"), event_id))
        assert self.answers.wait(PATIENCE)
        return answered(b"202 Accepted", b"")

    def next_said(self) -> tuple[str, str, str]:
        """What is said next, apart from asking for more time."""
        while (said := self.said.get(timeout=PATIENCE))[1] == "extend":
            pass
        return said

    def close(self) -> None:
        self._peer.close()
