"""Requests: what a client asks, read from the head that llhttp has split and checked.

llhttp leaves to its caller, and this module refuses: a missing, repeated or malformed ``Host``; request lines that
``request_line`` doesn't know; transfer codings other than a single ``chunked``, any on HTTP/1.0; heads out of
proportion. Lengths are matched as bytes before ``int()`` sees them, which takes blanks, underscores and digits of
other scripts; leading zeros are refused, because there are programs that take them for octal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote

import httptools

from bus.access.principal import EVERYBODY, NOTHING, Credentials
from bus.errors import (
    ExpectationFailedError,
    HeadTooLargeError,
    MalformedError,
    NotImplementedMethodError,
    TooLargeError,
)
from bus.server.http.limits import HEAD_BYTES, HEADERS
from bus.server.http.query import Query, parse_query
from bus.server.http.request_line import check_authority, read_line
from bus.wire import NDJSON, PROBLEM

_LENGTH: Final = re.compile(rb"0|[1-9]\d{0,14}")

_NO_VALUES: Final[Mapping[str, str]] = MappingProxyType({})

GZIP: Final = b"gzip"
CONTINUE: Final = b"100-continue"

REMEMBERED_HEADS: Final = 1024
LONGEST_REMEMBERED: Final = 1024
"""Heads and header sections that are remembered, and bytes of the longest one that is."""


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """What the headers of a request say, and what follows from them.

    ``coding`` is how the body is compressed, empty if it isn't; ``expects`` is what the client waits for before it
    sends the body. ``at_once`` says that the body is nothing but its bytes, so that it can be cut out when it is there,
    ``wants_page`` that a person asks with a browser.
    """

    version: bytes
    headers: Mapping[bytes, bytes]
    keep_alive: bool
    length: int
    chunked: bool
    at_once: bool
    coding: bytes
    expects: bytes
    origin: str
    from_page: bool
    wants_problem: bool
    wants_page: bool
    is_ndjson: bool

    def header(self, name: bytes) -> str:
        """The value of a header (lower-case name), empty if it isn't there."""
        return self.headers.get(name, b"").decode("latin-1")


class Head:
    """Everything a request says before its body: its line, and its header *section*."""

    __slots__ = ("_query", "method", "path", "raw_query", "section")

    def __init__(self, section: Section, method: bytes, path: str, raw_query: bytes) -> None:
        self.section = section
        self.method = method
        self.path = path
        self.raw_query = raw_query
        self._query: Query | None = None

    def asking(self, raw_query: bytes) -> Head:
        """The same with another query."""
        return Head(self.section, self.method, self.path, raw_query)

    @property
    def query(self) -> Query:
        """The query's parameters, read when they are asked for first. Raises `InvalidParameterError`."""
        query = self._query
        if query is None:
            query = self._query = parse_query(self.raw_query)
        return query

    def __repr__(self) -> str:
        return f"<Head of {self.method.decode()} {self.path!a}>"


class Request:
    """One request; ``body`` is filled in when all of it has come, unless it is taken as it comes, and ``path_values``
    where its route has names in its path, ``usual`` with the values of its query if that is as most at its route are.
    ``principal`` is whom it is from, once that is known by the ``credentials``."""

    __slots__ = ("body", "credentials", "head", "path_values", "principal", "usual")

    def __init__(self, head: Head, body: bytes = b"", credentials: Credentials = NOTHING) -> None:
        self.head = head
        self.body = body
        self.credentials = credentials
        self.path_values: Mapping[str, str] = _NO_VALUES
        self.principal = EVERYBODY
        self.usual: tuple[bytes, ...] = ()

    @property
    def query(self) -> Query:
        """The query's parameters. Raises `InvalidParameterError` if it isn't UTF-8."""
        return self.head.query

    def parameter(self, name: str) -> str:
        """The value of a parameter, empty if not given."""
        return self.head.query.get(name, ("",))[0]

    def __repr__(self) -> str:
        return f"<Request {self.head.method.decode()} {self.head.path!a} of {self.principal}>"


def read_head(head: bytes) -> Head:
    """Read *head*, which ends with its empty line and has no ``Authorization``. Raises a `MalformedError`."""
    line, _, section = head.partition(b"\r\n")
    method, target, version = read_line(line)
    if len(head) > HEAD_BYTES or section.count(b"\r\n") - 1 > HEADERS:
        raise HeadTooLargeError(f"the headers are more than {HEADERS} or longer than {HEAD_BYTES} bytes")
    read_section = _read_known_section if len(section) <= LONGEST_REMEMBERED else _read_section
    path, _, query = target.partition(b"?")
    return Head(read_section(section, version), method, unquote(path.decode("latin-1")), query.partition(b"#")[0])


def _read_section(section: bytes, version: bytes) -> Section:
    return _SectionReader().read(section, version)


_read_known_section = lru_cache(REMEMBERED_HEADS)(_read_section)


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

    def read(self, section: bytes, version: bytes) -> Section:
        """What the section says, whatever the method and the target are."""
        try:
            self._parser.feed_data(b"GET / HTTP/%b\r\n%b" % (version, section))
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError as error:
            raise MalformedError(f"the request is not HTTP/1.1: {error}") from None
        if self._hosts != 1 and (version == b"1.1" or self._hosts):
            raise MalformedError(f"the request has {self._hosts} Host headers: it needs one")
        if self._hosts:
            check_authority(self._headers[b"host"], "the Host header")
        if b"authorization" in self._headers:
            raise MalformedError("the request has more than one Authorization header: it takes one")
        return self._section(version)

    def _section(self, version: bytes) -> Section:
        headers = self._headers
        accept = headers.get(b"accept", b"")
        wants_problem = b"application/json" in accept or PROBLEM.encode() in accept
        chunked = _is_chunked(headers, version)
        is_ndjson = headers.get(b"content-type", b"").partition(b";")[0].strip().lower() == NDJSON.encode()
        length, expects = _length(headers), _expects(headers, version)
        coding = _coding(headers) if length or chunked else b""
        return Section(
            version=version,
            headers=headers,
            keep_alive=version == b"1.1" and b"close" not in _tokens(headers.get(b"connection", b"")),
            length=length,
            chunked=chunked,
            at_once=not (chunked or is_ndjson or coding or expects),
            coding=coding,
            expects=expects,
            origin=headers.get(b"origin", b"").decode("latin-1"),
            from_page=b"origin" in headers or b"sec-fetch-site" in headers,
            wants_problem=wants_problem,
            wants_page=b"text/html" in accept and not wants_problem,
            is_ndjson=is_ndjson,
        )


def _tokens(value: bytes) -> list[bytes]:
    return [token for part in value.split(b",") if (token := part.strip().lower())]


def _coding(headers: dict[bytes, bytes]) -> bytes:
    """How the body is compressed: ``gzip``, several codings or one that isn't known, or nothing."""
    codings = [token for token in _tokens(headers.get(b"content-encoding", b"")) if token != b"identity"]
    return b", ".join(codings).replace(b"x-gzip", GZIP)


def _expects(headers: dict[bytes, bytes], version: bytes) -> bytes:
    """What the client waits for; HTTP/1.0 knows no such thing (RFC 9110, section 10.1.1)."""
    return b"" if version == b"1.0" else b", ".join(dict.fromkeys(_tokens(headers.get(b"expect", b""))))


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


def check_expectation(section: Section) -> None:
    """Raise `ExpectationFailedError` if the client expects what isn't known here."""
    if section.expects not in (b"", CONTINUE):
        raise ExpectationFailedError("the only expectation known here is 100-continue")


def too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"the body is larger than {limit} bytes: send less at a time, or events as NDJSON")
