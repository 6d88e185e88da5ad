"""One way to speak to clients that nobody here wrote, wherever they run: here, in Node.js, in a browser."""

from __future__ import annotations

import json
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

from playwright.sync_api import Page

from tests.server.support import target
from tests.support import PATIENCE
from tests.third_party.readers import BrokenError, Heard, Reader

HERE = Path(__file__).parent


class ThirdPartyClient(Protocol):
    """A client of the server at the base URL it was made with."""

    def publish(self, subject: str, payload: object) -> str:
        """Publish one event; returns its id."""

    def listen(self, subject: str, **parameters: object) -> None:
        """Subscribe; a connection that ends is taken up again after the last event that was heard."""

    def next(self) -> Heard:
        """The next event of any kind."""

    def acknowledge(self, consumer_id: str, event_id: str) -> int:
        """Acknowledge an event; returns the status of the answer."""


def hear(client: ThirdPartyClient, count: int) -> list[Heard]:
    """The next *count* messages; what else is heard is passed over."""
    messages: list[Heard] = []
    while len(messages) < count:
        event = client.next()
        if event.kind == "msg":
            messages.append(event)
    return messages


class InPython:
    """A client that runs here, on a reader that yields the events of one connection or of several."""

    def __init__(self, base: str, reader: Reader) -> None:
        self._base = base
        self._reader = reader
        self._events: Iterator[Heard] = iter(())

    def publish(self, subject: str, payload: object) -> str:
        status, headers = self._reader.send("POST", self._base, json.dumps({"subject": subject, "payload": payload}))
        assert status == 202
        return headers["x-bus-event-id"]

    def listen(self, subject: str, **parameters: object) -> None:
        self._events = self._resuming(self._base + target(subject, **parameters))

    def next(self) -> Heard:
        return next(self._events)

    def acknowledge(self, consumer_id: str, event_id: str) -> int:
        query = urlencode({"consumer_id": consumer_id, "event_id": event_id})
        return self._reader.send("PUT", f"{self._base}/?{query}", "")[0]

    def _resuming(self, url: str) -> Iterator[Heard]:
        last = ""
        while True:
            try:
                for event in self._reader.listen(url, {"Last-Event-ID": last} if last else {}):
                    last = event.id or last
                    yield event
            except BrokenError:
                pass


class Elsewhere(ABC):
    """A client in JavaScript; see js/client.js."""

    def __init__(self, base: str) -> None:
        self._base = base

    @abstractmethod
    def call(self, name: str, *given: object) -> Any:
        """What the function of this name returns."""

    def publish(self, subject: str, payload: object) -> str:
        answer = self.call("publish", self._base, {"subject": subject, "payload": payload})
        assert answer["status"] == 202
        event_id: str = answer["id"]
        return event_id

    def listen(self, subject: str, **parameters: object) -> None:
        self.call("listen", self._base + target(subject, **parameters))

    def next(self) -> Heard:
        return Heard(**self.call("next"))

    def acknowledge(self, consumer_id: str, event_id: str) -> int:
        status: int = self.call(
            "acknowledge", self._base, urlencode({"consumer_id": consumer_id, "event_id": event_id})
        )
        return status


class InNode(Elsewhere):
    """The package ``eventsource`` in Node.js."""

    def __init__(self, base: str) -> None:
        super().__init__(base)
        self._process = subprocess.Popen(
            ["node", str(HERE / "js" / "node.js")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def call(self, name: str, *given: object) -> Any:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps([name, *given]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "node has ended"
        return json.loads(line)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate(timeout=PATIENCE)


class InBrowser(Elsewhere):
    """A page of a browser that has loaded js/page.html, with one of its two readers."""

    def __init__(self, base: str, page: Page, reader: str) -> None:
        super().__init__(base)
        self._page = page
        self._reader = reader

    def call(self, name: str, *given: object) -> Any:
        arguments = [*given, self._reader] if name == "listen" else given
        return self._page.evaluate("([name, ...given]) => window.calls[name](...given)", [name, *arguments])
