"""Downloads: one document over HTTP, fetched by a thread of its own so that the loop waits for nobody.

    Download.start ─▶ thread: connect, read ─▶ on the loop: done(content, or why there is none)

It takes no redirects, which could lead from TLS into the clear, and trusts the authorities that OpenSSL does.
"""

from __future__ import annotations

import asyncio
import http.client
import threading
from collections.abc import Callable
from contextlib import suppress
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from bus.errors import ConnectionFailedError

LARGEST = 1 << 20
"""Bytes of the largest document that is taken."""

SECONDS = 10.0
"""How long a download may take, from the name of the host to the last byte."""

Done = Callable[[bytes | ConnectionFailedError], None]
"""Takes what was fetched, or why it wasn't."""


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


class Download:
    """Fetches what is at *address*, an http or https one, whenever it is asked to; *done* is called on *loop*."""

    def __init__(self, address: str, done: Done, loop: asyncio.AbstractEventLoop) -> None:
        self._address = address
        self._done = done
        self._loop = loop
        self._attempt: object = None

    @property
    def under_way(self) -> bool:
        return self._attempt is not None

    def start(self) -> None:
        """Fetch it, unless that is under way."""
        if self.under_way:
            return
        self._attempt = attempt = object()
        late = _failure(self._address, f"it takes longer than {SECONDS:g} s")
        self._loop.call_later(SECONDS, self._finish, attempt, late)
        # A daemon, because a server that stops waits for nobody else.
        threading.Thread(target=self._run, args=(attempt,), name="download", daemon=True).start()

    def _run(self, attempt: object) -> None:
        found = _fetch(self._address)
        with suppress(RuntimeError):  # the loop is closed: nobody wants it any more
            self._loop.call_soon_threadsafe(self._finish, attempt, found)

    def _finish(self, attempt: object, found: bytes | ConnectionFailedError) -> None:
        """An *attempt* ends once: by what was fetched, or by its time."""
        if attempt is self._attempt:
            self._attempt = None
            self._done(found)

    def __repr__(self) -> str:
        return f"<Download of {self._address}{' under way' if self.under_way else ''}>"


def _fetch(address: str) -> bytes | ConnectionFailedError:
    request = Request(address, headers={"User-Agent": "bus"})
    try:
        with build_opener(_NoRedirects).open(request, timeout=SECONDS) as answer:
            content: bytes = answer.read(LARGEST + 1)
    except HTTPError as error:
        error.close()
        return _failure(address, f"it answers {error.code}")
    except (OSError, ValueError, http.client.HTTPException) as error:
        return _failure(address, _reason(error))
    return content if len(content) <= LARGEST else _failure(address, f"it is larger than {LARGEST} bytes")


def _failure(address: str, why: str) -> ConnectionFailedError:
    return ConnectionFailedError(f"{address} can't be fetched: {why}")


def _reason(error: Exception) -> str:
    """What went wrong, in a line."""
    text = str(getattr(error, "reason", "") or error)
    return text.partition("\n")[0] or type(error).__name__
