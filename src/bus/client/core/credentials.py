"""What a client is let in by: a token, a user with a password, headers of its own. None of it is ever shown.

token=       Authorization: Bearer …   RFC 6750, section 2.1
user:pass@   Authorization: Basic …    RFC 7617, in UTF-8
headers=     as they are
BUS_TOKEN    as token=, if none of the others says who it is
"""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Callable, Mapping

from bus.client.core.retry import NotConnectedError
from bus.errors import BusError, InvalidParameterError

Token = str | Callable[[], str]
"""A token, or a function that returns the one that is valid now."""

VARIABLE = "BUS_TOKEN"

_TOKEN = re.compile(r"[\x21-\x7e]+")
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, section 5.6.2
_VALUE = re.compile(r"[\x21-\x7e]([\t\x20-\x7e]*[\x21-\x7e])?|")
_OURS = frozenset(
    {"accept", "accept-encoding", "cache-control", "connection", "content-encoding", "content-length", "content-type",
     "expect", "host", "keep-alive", "last-event-id", "proxy-connection", "te", "trailer", "transfer-encoding",
     "upgrade"}
)  # fmt: skip


class Credentials:
    """Header lines that go along with each request.

    *userinfo* is what a URL has before its host. A *token* that is a function is asked when the first request is
    written and whenever it is to be renewed.

    Raises `InvalidParameterError` for what can't be sent, or if there are two that say who it is.
    """

    __slots__ = ("_authorization", "_headers", "_token")

    def __init__(
        self, *, userinfo: str = "", token: Token | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        headers = headers or {}
        named = any(name.lower() == "authorization" for name in headers)
        if bool(userinfo) + bool(token) + named > 1:
            raise InvalidParameterError(
                "there are two of a token, a user in the URL and an Authorization header: give one of them"
            )
        if token is None and not (userinfo or named):
            token = os.environ.get(VARIABLE, "")
        self._headers = "".join(map(_line, headers, headers.values()))
        self._token = token if callable(token) else None
        self._authorization = _basic(userinfo) if userinfo else ""
        if isinstance(token, str) and token:
            self._authorization = _bearer(token)

    @property
    def rotates(self) -> bool:
        """Whether there is somebody to ask for another token."""
        return self._token is not None

    def renew(self) -> None:
        """Ask for the token that is valid now. Raises `NotConnectedError` if there is none to be had."""
        if self._token is None:
            return
        try:
            found = self._token()
        except BusError:
            raise
        except Exception as error:
            raise NotConnectedError(f"there is no token to send: {type(error).__name__}: {error}") from error
        self._authorization = _bearer(found)

    def lines(self) -> str:
        """What goes into the head of a request, each line with its end."""
        if not self._authorization:
            self.renew()
        return self._authorization + self._headers

    def __repr__(self) -> str:
        kind = self._authorization.split(" ")[1] if self._authorization else "none"
        return f"<Credentials {'of a function' if self.rotates else kind}>"


def _bearer(token: object) -> str:
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise InvalidParameterError(
            "the token can't be sent: it is empty, or holds blanks, line breaks or characters beyond ASCII"
        )
    return f"Authorization: Bearer {token}\r\n"


def _basic(userinfo: str) -> str:
    return f"Authorization: Basic {b64encode(userinfo.encode('utf-8', 'surrogateescape')).decode()}\r\n"


def _line(name: str, value: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidParameterError(f"header {str(name)[:80]!a} can't be sent: that is no name of a header")
    if name.lower() in _OURS:
        raise InvalidParameterError(f"header {name} can't be given: Bus sets it itself")
    if not isinstance(value, str) or not _VALUE.fullmatch(value):
        raise InvalidParameterError(
            f"header {name} can't be sent: its value holds line breaks, outer blanks or characters beyond ASCII"
        )
    return f"{name}: {value}\r\n"
