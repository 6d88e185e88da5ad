"""Requests: what a client asks, read from the head that llhttp has split and checked.

llhttp leaves to its caller, and this module refuses: a missing or repeated ``Host``; version lines that
aren't HTTP/1.0 or HTTP/1.1; targets that aren't a path; transfer codings other than a single ``chunked``,
any on HTTP/1.0; heads out of proportion. Lengths are read from bytes, never by ``int()`` on text, which
takes blanks, underscores and digits of other scripts.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote, unquote_plus

import httptools
import msgspec
from msgspec.structs import replace

from bus.errors import (
    HeadTooLargeError,
    InvalidParameterError,
    MalformedError,
    NotImplementedMethodError,
    RequestLineTooLongError,
    TooLargeError,
    VersionNotSupportedError,
)
from bus.server.limits import HEAD_BYTES, HEADERS, REQUEST_LINE_BYTES
from bus.wire import NDJSON, PROBLEM

_REQUEST_LINE = re.compile(rb"([A-Z]+) (/[\x21-\x7e\x80-\xff]*|\*|https?://[\x21-\x7e\x80-\xff]*) HTTP/(1\.[01])")
_METHODS = {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS"}
_LENGTH = re.compile(rb"\d{1,15}")

REMEMBERED = 1024
LONGEST_REMEMBERED = 1024
"""Heads and header sections that are remembered, and bytes of the longest one that is."""


class Head(msgspec.Struct, frozen=True, eq=False):
    """Everything a request says before its body, and what follows from it."""

    version: bytes
    headers: dict[bytes, bytes]
    keep_alive: bool
    length: int
    chunked: bool
    in_pieces: bool
    origin: str
    from_page: bool
    wants_problem: bool
    is_ndjson: bool
    method: bytes = b""
    path: str = ""
    raw_query: bytes = b""

    def header(self, name: bytes) -> str:
        """The value of a header (lower-case name), empty if it isn't there."""
        return self.headers.get(name, b"").decode("latin-1")


class Request(msgspec.Struct, eq=False):
    """One request; ``body`` is filled in when all of it has come, unless it is an upload."""

    head: Head
    body: bytes = b""
    _query: dict[str, list[str]] | None = None

    @property
    def query(self) -> dict[str, list[str]]:
        """The query's parameters. Raises `InvalidParameterError` if it isn't UTF-8."""
        if self._query is None:
            self._query = parse_query(self.head.raw_query)
        return self._query

    def parameter(self, name: str) -> str:
        """The value of a parameter, empty if not given. Raises `InvalidParameterError` if it is repeated."""
        values = self.query.get(name)
        if values is None:
            return ""
        if len(values) > 1:
            raise InvalidParameterError(f"parameter {name} is given {len(values)} times: give it once")
        return values[0]


def parse_query(raw: bytes) -> dict[str, list[str]]:
    """The parameters of a query string, in order. Raises `InvalidParameterError` if it isn't UTF-8."""
    found: dict[str, list[str]] = {}
    try:
        for part in raw.decode().split("&"):
            name, _, value = part.partition("=")
            if "%" in part or "+" in part:
                name, value = unquote_plus(name), unquote_plus(value, errors="strict")
            if name:
                found.setdefault(name, []).append(value)
    except UnicodeDecodeError:
        raise InvalidParameterError("the query is not UTF-8: percent-encode it") from None
    return found


def read_head(head: bytes) -> Head:
    """Read *head*, which ends with its empty line. Raises a `MalformedError`.

    Clients repeat themselves: what was read lately is remembered by its bytes, the header section also on
    its own, because the targets of acknowledgements differ.
    """
    return _read_known_head(head) if len(head) <= LONGEST_REMEMBERED else _read_head(head)


def _read_head(head: bytes) -> Head:
    line, _, section = head.partition(b"\r\n")
    method, target, version = _read_line(line)
    if len(head) > HEAD_BYTES or section.count(b"\r\n") - 1 > HEADERS:
        raise HeadTooLargeError(f"the headers are more than {HEADERS} or longer than {HEAD_BYTES} bytes")
    read_section = _read_known_section if len(section) <= LONGEST_REMEMBERED else _read_section
    path, _, query = _origin_form(target).partition(b"?")
    return replace(
        read_section(section, version),
        method=method,
        path=unquote(path.decode("latin-1")),
        raw_query=query.partition(b"#")[0],
    )


def _read_section(section: bytes, version: bytes) -> Head:
    return _SectionReader().read(section, version)


_read_known_head = lru_cache(REMEMBERED)(_read_head)
_read_known_section = lru_cache(REMEMBERED)(_read_section)


def _read_line(line: bytes) -> tuple[bytes, bytes, bytes]:
    """Method, target and version of a request line."""
    if len(line) > REQUEST_LINE_BYTES:
        raise RequestLineTooLongError(f"the request line is longer than {REQUEST_LINE_BYTES} bytes")
    found = _REQUEST_LINE.fullmatch(line)
    if not found:
        if not line.endswith((b" HTTP/1.1", b" HTTP/1.0")) and line.count(b" ") == 2:
            raise VersionNotSupportedError("the request is not HTTP/1.0 or HTTP/1.1")
        raise MalformedError("the request line is malformed: it is METHOD /path HTTP/1.1")
    method, target, version = found.groups()
    if method not in _METHODS:
        raise NotImplementedMethodError(f"method {method.decode()} is not known here")
    if target == b"*" and method != b"OPTIONS":
        raise MalformedError("only OPTIONS may ask for *")
    return method, target, version


class _SectionReader:
    """Reads a header section, for llhttp to call back."""

    __slots__ = ("_headers", "_hosts", "_parser")

    def __init__(self) -> None:
        self._headers: dict[bytes, bytes] = {}
        self._hosts = 0
        self._parser = httptools.HttpRequestParser(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        name, value = name.lower(), value.rstrip(b" \t")
        if name == b"host":
            self._hosts += 1
        known = self._headers.get(name)
        self._headers[name] = value if known is None else known + b", " + value

    def read(self, section: bytes, version: bytes) -> Head:
        """What the section says, whatever the method and the target are."""
        try:
            self._parser.feed_data(b"GET / HTTP/%b\r\n%b" % (version, section))
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError as error:
            raise MalformedError(f"the request is not HTTP/1.1: {error}") from None
        if self._hosts != 1 and (version == b"1.1" or self._hosts):
            raise MalformedError(f"the request has {self._hosts} Host headers: it needs one")
        return self._head(version)

    def _head(self, version: bytes) -> Head:
        headers = self._headers
        accept = headers.get(b"accept", b"")
        chunked = _is_chunked(headers, version)
        is_ndjson = headers.get(b"content-type", b"").partition(b";")[0].strip().lower() == NDJSON.encode()
        return Head(
            version=version,
            headers=headers,
            keep_alive=version == b"1.1" and b"close" not in _tokens(headers.get(b"connection", b"")),
            length=_length(headers),
            chunked=chunked,
            in_pieces=chunked or is_ndjson,
            origin=headers.get(b"origin", b"").decode("latin-1"),
            from_page=b"origin" in headers or b"sec-fetch-site" in headers,
            wants_problem=b"application/json" in accept or PROBLEM.encode() in accept,
            is_ndjson=is_ndjson,
        )


def _origin_form(url: bytes) -> bytes:
    """The path and query of a target, which a proxy may write as a whole address."""
    if url.startswith(b"/") or url == b"*":
        return url
    _, _, rest = url.partition(b"://")
    _, slash, path = rest.partition(b"/")
    return slash + path or b"/"


def _tokens(value: bytes) -> list[bytes]:
    return [token.strip().lower() for token in value.split(b",")]


def _length(headers: dict[bytes, bytes]) -> int:
    text = headers.get(b"content-length")
    if text is None:
        return 0
    if not _LENGTH.fullmatch(text):
        raise MalformedError("Content-Length is not a length")
    return int(text)


def _is_chunked(headers: dict[bytes, bytes], version: bytes) -> bool:
    coding = headers.get(b"transfer-encoding")
    if coding is None:
        return False
    if version != b"1.1":
        raise MalformedError("HTTP/1.0 has no Transfer-Encoding")
    if coding.strip().lower() != b"chunked":
        raise NotImplementedMethodError("the only Transfer-Encoding known here is a single chunked")
    return True


def too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"the body is larger than {limit} bytes: send less at a time, or events as NDJSON")
