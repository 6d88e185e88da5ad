"""Request lines: what is asked of which path, and the hosts that a target or a ``Host`` header names.

    request-line = method SP target SP version                      RFC 9112, section 3
    target       = "/path?query"  /  "http://authority/path?query"  /  "*"
    authority    = host [":" port]                                  RFC 3986, section 3.2
    host         = "[" IPv6 "]"  /  "[v" future "]"  /  IPv4  /  name

A name may hold all that RFC 3986 allows but the comma, which stands between two hosts where a proxy has joined two
headers. Users in front of a host are refused (RFC 9110, section 4.2.4), and so is an empty host.
"""

from __future__ import annotations

import ipaddress
import re

from bus.errors import MalformedError, NotImplementedMethodError, RequestLineTooLongError, VersionNotSupportedError
from bus.server.http.limits import REQUEST_LINE_BYTES

METHODS = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS"))
TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"

_LINE = re.compile(rb"(%b) ([\x21-\x7e\x80-\xff]+) ([A-Z]+/\d\.\d)" % TOKEN)
_USUAL = re.compile(rb"(%b) (/(?!/)[\x21-\x7e\x80-\xff]*) HTTP/1\.1" % b"|".join(sorted(METHODS)))
"""The line of most requests, which is taken as it is."""

_WHOLE_ADDRESS = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE)
_AUTHORITY = re.compile(
    rb"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]"
    rb"|\[[vV][0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+,;=:-]+\]"
    rb"|(?:[A-Za-z0-9._~!$&'()*+;=-]|%[0-9A-Fa-f]{2})+)"
    rb"(?::0*(?P<port>\d{0,5}))?"
)


def read_line(line: bytes) -> tuple[bytes, bytes, bytes]:
    """Method, path with query, and version of a request line: ``1.0``, or ``1.1`` for that and all after it.

    Raises a `MalformedError`.
    """
    if len(line) > REQUEST_LINE_BYTES:
        raise RequestLineTooLongError(f"the request line is longer than {REQUEST_LINE_BYTES} bytes")
    if usual := _USUAL.fullmatch(line):
        method, target = usual.groups()
        return method, target, b"1.1"
    return _read_closely(line)


def _read_closely(line: bytes) -> tuple[bytes, bytes, bytes]:
    """As `read_line`, of whatever form the line is."""
    found = _LINE.fullmatch(line)
    if not found:
        raise _malformed()
    method, target, version = found.groups()
    if not version.startswith(b"HTTP/1."):
        raise VersionNotSupportedError("the request is neither HTTP/1.1 nor HTTP/1.0")
    if method not in METHODS:
        raise NotImplementedMethodError(f"method {method[:80].decode()} is not known here")
    return method, _path(method, target), b"1.0" if version == b"HTTP/1.0" else b"1.1"


def _path(method: bytes, target: bytes) -> bytes:
    """The path and query of a target, which a proxy may write as a whole address.

    Slashes that it begins with count as one: clients join addresses that end with one to paths that begin with one.
    """
    if target == b"*":
        if method != b"OPTIONS":
            raise MalformedError("only OPTIONS may ask for *")
        return target
    if not target.startswith(b"/"):
        target = _behind_authority(target)
    return b"/" + target.lstrip(b"/")


def _behind_authority(target: bytes) -> bytes:
    found = _WHOLE_ADDRESS.fullmatch(target)
    if not found:
        raise _malformed()
    check_authority(found[1], "the host of the request line")
    return found[2]


def check_authority(text: bytes, what: str) -> None:
    """Raise a `MalformedError` unless *text* is a host with or without a port; *what* says where it stands."""
    found = _AUTHORITY.fullmatch(text)
    if not found or int(found["port"] or b"0") > 65535 or not (found["ipv6"] is None or _is_ipv6(found["ipv6"])):
        raise MalformedError(f"{what} can't be read: it is a host with or without a port, like localhost:2021")


def _is_ipv6(text: bytes) -> bool:
    try:
        ipaddress.IPv6Address(text.decode())
    except ValueError:
        return False
    return True


def _malformed() -> MalformedError:
    return MalformedError("the request line is malformed: it is METHOD /path HTTP/1.1")
