"""Whether and when to try again.

A request is sent again only where that can't do harm:

    nothing was sent            always: the connection could not be made, unless one side doesn't trust the other
    the server refused for now  always: overloaded, stopping or asked too often, nothing was changed
    the token was refused       once, with a new one, if there is somebody to ask for it
    the connection broke        only what may be repeated: acknowledgements, reads, publishes with a key

and only until its deadline. What remains is raised to the caller.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from bus.errors import (
    BusError,
    ConnectionFailedError,
    OverloadedError,
    StoppingError,
    StorageError,
    TimedOutError,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
)

if TYPE_CHECKING:
    from bus.client.core.request import Endpoint

DEFAULT_TIMEOUT = 10.0
"""Seconds a call may take in all."""

MARGIN = 5.0
"""Seconds given to the server beyond the time it was asked to wait, to say that the time is up."""

FIRST_DELAY = 0.05
LONGEST_RETRY_DELAY = 15.0

NOT_NOW = (ConnectionFailedError, TimedOutError, TooManyRequestsError, UnavailableError)
"""What says no more than that the server can't be asked for now."""

UNKNOWN_OUTCOME = "what was asked for may or may not be done"


class NotConnectedError(ConnectionFailedError):
    """The connection could not be made, so nothing was sent."""


class UntrustedError(NotConnectedError):
    """One side's certificate isn't one the other trusts, or one side knows no TLS: another attempt won't change it."""


class NotBusError(ConnectionFailedError):
    """What answered isn't a Bus server, or not of a kind this client knows, which another attempt won't change."""


class Backoff:
    """Delays that double, each drawn at random below its limit so that clients don't come back in step."""

    __slots__ = ("_asked_for", "_first", "_limit")

    def __init__(self, first: float = FIRST_DELAY) -> None:
        self._first = self._limit = first
        self._asked_for = 0.0

    def heed(self, error: BusError | None) -> None:
        """Make the next delay as long as the server asks for, if *error* is that it was asked too often."""
        if isinstance(error, TooManyRequestsError):
            self._asked_for = float(error.retry_after)

    def next(self) -> float:
        """Seconds to wait before the next attempt."""
        asked_for, self._asked_for = self._asked_for, 0.0
        limit, self._limit = self._limit, min(self._limit * 2, LONGEST_RETRY_DELAY)
        return asked_for + random.uniform(limit / 2, limit)

    def reset(self, first: float | None = None) -> None:
        """Begin anew, at *first* seconds if given."""
        if first is not None:
            self._first = min(first, LONGEST_RETRY_DELAY)
        self._limit = self._first

    def __repr__(self) -> str:
        return f"<Backoff next within {self._limit:g}s>"


def broke(error: BusError) -> bool:
    """Whether a connection broke after something was sent, so that nobody knows what the server did."""
    return isinstance(error, ConnectionFailedError) and not isinstance(error, NotConnectedError)


def may_repeat(error: BusError, *, repeatable: bool) -> bool:
    """Whether what failed with *error* can be sent again without harm; see the table above."""
    if isinstance(error, UntrustedError | NotBusError):
        return False
    if isinstance(error, NotConnectedError | OverloadedError | StoppingError | TooManyRequestsError):
        return True
    return repeatable and isinstance(error, ConnectionFailedError)


def reconnects(error: BusError) -> bool:
    """Whether a stream that ended with *error* is taken up again; other errors would only come again."""
    if isinstance(error, UntrustedError | NotBusError):
        return False
    return isinstance(error, (*NOT_NOW, StorageError))


class Retry:
    """One request's right to be sent again until *deadline*, on the clock that gives *now*.

    *renew* gets a new token, and says whether there is one. ``uncertain`` is true once an attempt broke after it was
    sent: the server may have done what was asked.
    """

    __slots__ = ("_backoff", "_renew", "_repeatable", "deadline", "uncertain")

    def __init__(self, *, deadline: float, repeatable: bool, renew: Callable[[], bool] | None = None) -> None:
        self._backoff = Backoff()
        self.deadline = deadline
        self._repeatable = repeatable
        self._renew = renew
        self.uncertain = False

    def delay(self, error: BusError, *, now: float) -> float:
        """Seconds to wait before the next attempt; raises *error* when there must be none."""
        if isinstance(error, UnauthorizedError) and self._renewed():
            return 0.0
        self._backoff.heed(error)
        delay = self._backoff.next()
        if not may_repeat(error, repeatable=self._repeatable) or now + delay >= self.deadline:
            raise error
        self.uncertain = self.uncertain or broke(error)
        return delay

    def _renewed(self) -> bool:
        renew, self._renew = self._renew, None
        return renew is not None and renew()

    def __repr__(self) -> str:
        kind = "repeatable" if self._repeatable else "once sent, not repeated"
        return f"<Retry until {self.deadline:.3f}, {kind}>"


def os_reason(error: Exception) -> str:
    """What the operating system says, or OpenSSL, without its number."""
    reason: str | None = getattr(error, "reason", None)
    words = reason.replace("_", " ").lower() if isinstance(reason, str) else getattr(error, "strerror", None)
    return words or str(error) or type(error).__name__


def not_connected(endpoint: Endpoint, error: Exception) -> NotConnectedError:
    """What to raise when connecting to *endpoint* failed with *error*."""
    return _untrusted(endpoint, error) or NotConnectedError(f"can't reach {endpoint}: {os_reason(error)}")


def broken(endpoint: Endpoint, error: Exception) -> ConnectionFailedError:
    """What to raise when a connection to *endpoint* broke with *error*, after something was sent."""
    return _untrusted(endpoint, error) or ConnectionFailedError(
        f"the connection to {endpoint} broke ({os_reason(error)}): {UNKNOWN_OUTCOME}"
    )


def _untrusted(endpoint: Endpoint, error: Exception) -> UntrustedError | None:
    """Why there will be no TLS with *endpoint*; a server says what it has against a client when that is done asking."""
    if not endpoint.secure:
        return None
    from ssl import SSLCertVerificationError, SSLError  # loaded late: most servers are reached in the clear

    if isinstance(error, SSLCertVerificationError):
        return UntrustedError(f"can't trust the certificate of {endpoint}: {error.verify_message}")
    if not isinstance(error, SSLError) or not error.reason:
        return None
    if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        return UntrustedError(f"{endpoint} speaks no TLS: ask for http:// instead")
    if "ALERT" in error.reason and ("CERTIFICATE" in error.reason or error.reason.endswith("UNKNOWN_CA")):
        return UntrustedError(f"{endpoint} wants a certificate of this client that it trusts: {os_reason(error)}")
    return None
