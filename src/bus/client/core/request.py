"""What is asked of the server, as the bytes of HTTP/1.1 requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import SplitResult, quote, unquote, urlencode, urlsplit

from bus.client.core.credentials import Credentials
from bus.errors import InvalidParameterError
from bus.units import format_duration
from bus.wire import JSON, NDJSON, PROBLEM, SSE

Action = Literal["ack", "nack", "extend", "reject"]
"""What is said about a delivery: it is done, is to be delivered again, takes longer, can't be handled by anyone."""

Parameters = list[tuple[str, str]]

Method = Literal["GET", "POST", "PUT", "DELETE"]

REPEATABLE = frozenset({"GET", "PUT"})
"""Methods of requests that may be sent again when the first answer is lost: doing it twice gives the same answer."""

MOST_IDS = 256
MOST_ID_BYTES = 7000
"""What one request acknowledges, commas included. It is in its first line, of which servers take 8 kB."""

MOST_REASON_BYTES = 2000
"""Of a reason, which goes along in the first line with up to three characters for each byte."""

DEFAULT_URL = "http://localhost:2021"

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server is; make it with `Endpoint.parse`. The *userinfo* of its URL, ``user:password``, isn't shown."""

    scheme: str
    host: str
    port: int
    path: str = "/"
    userinfo: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        """Read a URL such as ``http://localhost:2021``. Raises `InvalidParameterError`."""
        try:
            parts = urlsplit(url)
            port = _PORTS[parts.scheme] if parts.port is None else parts.port
            path = quote(parts.path.rstrip("/"), safe="/%") + "/"
            endpoint = cls(parts.scheme, parts.hostname or "", port, path, _userinfo(parts))
            readable = bool(endpoint.host and port and endpoint.authority)
        except (KeyError, ValueError):  # among them what no host may be called
            readable = False
        # An @ behind the host is the rest of a password that wasn't quoted.
        if not readable or parts.query or "@" in parts.path + parts.fragment or not url.isprintable() or " " in url:
            raise InvalidParameterError(
                f"server {_without_userinfo(url)!a} can't be read: write it like http://localhost:2021"
            )
        return endpoint

    @property
    def secure(self) -> bool:
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """Host and port as the ``Host`` header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host.encode("idna").decode()
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path.rstrip('/')}"


def _userinfo(parts: SplitResult) -> str:
    if parts.username is None:
        return ""
    return f"{unquote(parts.username)}:{unquote(parts.password or '')}"


def _without_userinfo(url: str) -> str:
    """A URL that may be of any shape, with nothing in it that could be a password."""
    secret, at, host = url.rpartition("@")
    scheme, separator, _ = secret.partition("://")
    return f"{scheme}{separator}…@{host}" if at and separator else f"…@{host}" if at else url


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What a subscriber says about deliveries of one consumer; *delay* is in seconds, *reply* is JSON."""

    consumer_id: str
    event_ids: Sequence[str]
    action: Action = "ack"
    delay: float | None = None
    reason: str = ""
    reply: bytes = b""

    def parameters(self) -> Parameters:
        found = [("consumer_id", self.consumer_id), ("event_id", ",".join(self.event_ids))]
        if self.action != "ack":
            found.append(("action", self.action))
        if self.delay is not None:
            found.append(("delay", format_duration(self.delay)))
        if self.reason:
            found.append(("reason", _shortened(self.reason)))
        return found


def _shortened(reason: str) -> str:
    """As much of *reason* as fits; half of a surrogate pair becomes a question mark."""
    return reason.encode("utf-8", "replace")[:MOST_REASON_BYTES].decode("utf-8", "ignore")


def fitting_ids(event_ids: Sequence[str], *, reason: str = "") -> Iterator[Sequence[str]]:
    """*event_ids* in parts that one request can acknowledge, each beside the *reason*."""
    room = MOST_ID_BYTES - len(quote(_shortened(reason)))
    begin = size = 0
    for at, event_id in enumerate(event_ids):
        size += len(event_id) + 1
        if size > room or at - begin == MOST_IDS:
            yield event_ids[begin:at]
            begin, size = at, len(event_id) + 1
    if event_ids:
        yield event_ids[begin:]


@dataclass(frozen=True, slots=True, repr=False)
class _Heads:
    """What requests begin with; publishing is the hot path, so all of it but the length of the body is written once."""

    common: str
    publish: bytes
    publish_lines: bytes


Write = Callable[[], bytes]
"""What writes a request, once more if it is sent again: the token may be another one then."""


class Requests:
    """Writes the requests to one endpoint."""

    __slots__ = ("_credentials", "_heads", "_path", "endpoint")

    def __init__(self, endpoint: Endpoint, credentials: Credentials) -> None:
        self.endpoint = endpoint
        self._path = endpoint.path
        self._credentials = credentials
        self._heads: _Heads | None = None

    def renew(self) -> bool:
        """Have a new token in what is written from now on; returns whether there is somebody to ask for one.

        Raises `NotConnectedError` if there is none to be had.
        """
        if not self._credentials.rotates:
            return False
        self._credentials.renew()
        self._heads = None
        return True

    def publish(self, body: bytes) -> bytes:
        """Publish one event, or a JSON array of them as one batch."""
        return b"%b%d\r\n\r\n%b" % ((self._heads or self._write_heads()).publish, len(body), body)

    def publish_lines(self, lines: Sequence[bytes]) -> bytes:
        """Publish independent events, each with its own receipt."""
        body = b"\n".join(lines)
        return b"%b%d\r\n\r\n%b" % ((self._heads or self._write_heads()).publish_lines, len(body), body)

    def publish_if(self, body: bytes, expected: Parameters) -> bytes:
        """Publish one event, or an array, if the log ends where *expected* says."""
        return b"%b%d\r\n\r\n%b" % (self._head("POST", JSON, expected), len(body), body)

    def publish_and_wait(
        self,
        body: bytes,
        *,
        wait: Literal["reply", "confirm"],
        timeout: float,
        count: int = 1,
        expected: Parameters | None = None,
    ) -> bytes:
        """Publish one event and be answered when it was replied to, or acknowledged by *count* consumers."""
        query: Parameters = [("wait", wait), ("timeout", format_duration(timeout)), *(expected or ())]
        if wait == "confirm":
            query.append(("count", str(count)))
        return b"%b%d\r\n\r\n%b" % (self._head("POST", JSON, query), len(body), body)

    def acknowledge(self, said: Acknowledgement) -> bytes:
        head = self._head("PUT", JSON, said.parameters())
        return b"%b%d\r\n\r\n%b" % (head, len(said.reply), said.reply)

    def subscribe(self, parameters: Parameters, *, last_event_id: str = "", path: str = "") -> bytes:
        """Open a stream, after the event *last_event_id* if given; *path* is relative to the endpoint."""
        resumed = f"Last-Event-ID: {last_event_id}\r\n" if last_event_id else ""
        accept = f"{SSE}, {PROBLEM}\r\nCache-Control: no-store\r\n"
        return f"GET {self._target(parameters, path)}{self._common}{accept}{resumed}\r\n".encode()

    def ask(self, path: str, *, method: str = "GET", query: Parameters | None = None, body: bytes = b"") -> bytes:
        """A request to *path*, which is relative to the endpoint; *body* is JSON."""
        kind = f"Content-Type: {JSON}\r\n" if body else ""
        head = f"{method} {self._target(query or [], path)}{self._common}{PROBLEM}, */*\r\n{kind}"
        return b"%bContent-Length: %d\r\n\r\n%b" % (head.encode(), len(body), body)

    def _head(self, method: str, content_type: str, query: Parameters | None = None) -> bytes:
        """A request down to where the length of its body is due."""
        return f"{method} {self._target(query or [])}{self._common}{_described(content_type)}".encode()

    @property
    def _common(self) -> str:
        return (self._heads or self._write_heads()).common

    def _write_heads(self) -> _Heads:
        common = f" HTTP/1.1\r\nHost: {self.endpoint.authority}\r\n{self._credentials.lines()}Accept: "
        publish, lines = (f"POST {self._path}{common}{_described(kind)}".encode() for kind in (JSON, NDJSON))
        self._heads = heads = _Heads(common, publish, lines)
        return heads

    def _target(self, query: Parameters, path: str = "") -> str:
        try:
            target = f"{self._path}{path}"
            return f"{target}?{urlencode(query, safe=',*>:', quote_via=quote)}" if query else target
        except UnicodeEncodeError as error:
            raise InvalidParameterError(
                f"{error.object[:80]!a} can't be sent: it holds half of a surrogate pair"
            ) from None

    def __repr__(self) -> str:
        return f"<Requests to {self.endpoint}>"


def _described(content_type: str) -> str:
    """What a request says of its answer and its body, down to where the length of the body is due."""
    return f"{PROBLEM}\r\nContent-Type: {content_type}\r\nContent-Length: "
