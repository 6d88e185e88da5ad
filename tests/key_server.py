"""Where an issuer publishes its keys: an HTTP server that answers what a test tells it to."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class KeyServer:
    """Answers each request with *status*, *headers* and *body*, as soon as ``open`` is set."""

    body: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    asked: int = 0
    open: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked += 1
        self.open.wait()
        handler.send_response(self.status)
        for name, value in self.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        with suppress(ConnectionError):  # who was asking may have had enough
            handler.wfile.write(self.body.encode())


@contextmanager
def key_server(body: str) -> Iterator[KeyServer]:
    """One that answers *body* on a free port of this machine."""
    found = KeyServer(body)
    found.open.set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.answer(self)

        def log_message(self, format: str, *_: object) -> None:
            """Say nothing: tests look at what comes out."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}/keys"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield found
        finally:
            found.open.set()
            server.shutdown()
            thread.join()
