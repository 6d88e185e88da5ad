"""What the client's tests stand on: a peer that plays a script, and one way to call both clients."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from bus import AsyncClient, AsyncConsumers, AsyncNamespaces, AsyncSchedules, AsyncStoredEvents
from bus.event import Receipt
from tests.support import PATIENCE

ACCEPTED = (
    b"HTTP/1.1 202 Accepted\r\nX-BUS-EVENT-ID: e_%d\r\nX-BUS-EVENT-CREATED-AT: 2026-01-31T12:00:00Z\r\n"
    b"X-BUS-EVENT-INDEX: %d\r\nContent-Length: 0\r\n\r\n"
)


def accepted(index: int) -> bytes:
    return ACCEPTED % (index, index)


def answered(status: bytes, body: bytes, *headers: bytes) -> bytes:
    """A whole answer with a body."""
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def streaming(body: bytes, *, consumer_id: bytes = b"c_1") -> bytes:
    """The beginning of a stream."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-BUS-CONSUMER-ID: %b\r\nConnection: close\r\n\r\n"
    return head % consumer_id + body


class Wire:
    """The peer's end of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._rest = b""

    def request(self) -> bytes:
        """The next whole request: head, and body by its length. Raises `EOFError` when the client closed."""
        while b"\r\n\r\n" not in self._rest:
            self._read()
        head, _, body = self._rest.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        while len(body) < length:
            self._read()
            body = self._rest.partition(b"\r\n\r\n")[2]
        self._rest = body[length:]
        return head + b"\r\n\r\n" + body[:length]

    def _read(self) -> None:
        data = self._connection.recv(65536)
        if not data:
            raise EOFError
        self._rest += data

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def answer(self, data: bytes) -> bytes:
        """Read one request, answer it with *data*, and return it."""
        request = self.request()
        self.send(data)
        return request

    def until_closed(self) -> None:
        """Wait until the client has closed."""
        while self._connection.recv(65536):
            pass

    def close(self) -> None:
        self._connection.close()


Play = Callable[[Wire], Any]


class Peer:
    """A listening socket whose connections are played, in the order they are made, by one function each.

    What a function returns is waited for with `result`. A connection beyond the script is closed at once.
    """

    def __init__(self, *plays: Play) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._plays = plays
        self._results: list[Future[Any]] = [Future() for _ in plays]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def result(self, number: int) -> Any:
        """What the function of connection *number* returned, once it has."""
        return self._results[number].result(PATIENCE)

    def _accept(self) -> None:
        for play, result in zip(self._plays, self._results, strict=True):
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._play, args=(play, result, connection), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _play(self, play: Play, result: Future[Any], connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        try:
            with connection:
                found = play(Wire(connection))
        except Exception as error:
            result.set_exception(error)
        else:
            result.set_result(found)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(PATIENCE)


class Awaited:
    """An `AsyncClient`, or what it made, called like its blocking twin: each call runs the loop until it is done."""

    def __init__(self, runner: asyncio.Runner, found: Any) -> None:
        self._runner = runner
        self._found = found

    @classmethod
    def client(cls, url: str, **options: Any) -> Awaited:
        runner = asyncio.Runner()

        async def make() -> AsyncClient:
            return AsyncClient(url, **options)

        try:
            return cls(runner, runner.run(make()))
        except BaseException:
            runner.close()
            raise

    def get(self, *args: Any, **options: Any) -> Any:
        if not isinstance(self._found, AsyncClient):
            return self._awaiting(self._found.get)(*args, **options)
        stream = self._found.get(*args, **options)
        self._runner.run(stream.open())
        return Awaited(self._runner, stream)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._found, name)
        if isinstance(found, AsyncConsumers | AsyncNamespaces | AsyncSchedules | AsyncStoredEvents):
            return Awaited(self._runner, found)
        return self._awaiting(found) if callable(found) else found

    def _awaiting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            result = function(*args, **options)
            if isinstance(result, AsyncIterator):
                return Awaited(self._runner, result)
            return self._runner.run(result) if isinstance(result, Coroutine) else result

        return call

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return Awaited(self._runner, self._runner.run(self._found.__anext__()))
        except StopAsyncIteration:
            raise StopIteration from None

    def finish(self) -> None:
        """Close the client and the loop it ran on."""
        self._runner.run(self._found.close())
        self._runner.close()


@contextmanager
def beside(work: Any) -> Iterator[None]:
    """Run *work* in another thread meanwhile; raises what it raised."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join(PATIENCE)
    assert not thread.is_alive()
    if errors:
        raise errors[0]


class Listening(logging.Handler):
    """Waits for a line of the client's log."""

    def __init__(self, text: str) -> None:
        super().__init__(logging.INFO)
        self._text = text
        self.heard = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if self._text in record.getMessage():
            self.heard.set()


@contextmanager
def listening(text: str) -> Iterator[threading.Event]:
    """An event that is set once the client has logged *text*."""
    log, handler = logging.getLogger("bus.client"), Listening(text)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield handler.heard
    finally:
        log.removeHandler(handler)
        log.setLevel(logging.NOTSET)


RECEIPT = Receipt("e_1", "2026-01-31T12:00:00.000000000Z", 7)


def cuts(data: bytes) -> list[list[bytes]]:
    """*data* whole, in two parts at every place, and in single bytes."""
    halves = [[data[:at], data[at:]] for at in range(1, len(data))]
    return [[data], *halves, [data[at : at + 1] for at in range(len(data))]]
