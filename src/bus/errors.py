"""Every error Bus raises or answers with, as one tree.

    BusError
    ├── InvalidError              400  the request can't be understood; nothing was changed
    │   ├── InvalidSubjectError
    │   ├── InvalidEventError
    │   ├── InvalidParameterError
    │   └── MalformedError             the bytes are no HTTP request; the connection closes
    │       ├── RequestTimeoutError        408
    │       ├── RequestLineTooLongError    414
    │       ├── ExpectationFailedError     417
    │       ├── HeadTooLargeError          431
    │       ├── NotImplementedMethodError  501
    │       └── VersionNotSupportedError   505
    ├── UnauthorizedError         401  who asks isn't known
    ├── ForbiddenError            403  who asks may not
    ├── MethodNotAllowedError     405
    ├── NotFoundError             404
    │   ├── UnknownNamespaceError
    │   ├── UnknownEventError
    │   ├── UnknownConsumerError
    │   └── UnknownScheduleError
    ├── ConflictError             409
    │   ├── DuplicateKeyError          the key was processed before; carries the first receipt
    │   ├── AmbiguousEventError        several namespaces have an event with this id; carries their names
    │   ├── NotOwnerError              the delivery belongs to another connection now
    │   ├── TooManyConsumersError      the server keeps as many durable consumers as it may
    │   └── ConsumerMismatchError      the durable consumer has other terms
    ├── WrongIndexError           412  the log doesn't end where a publisher expects; carries where it ends
    ├── TooLargeError             413
    ├── UnsupportedEncodingError  415
    ├── MisdirectedError          421  the request is for a host that this server isn't
    ├── ServiceError              502  the service that took a request answered with an error
    ├── NotSupportedError         501  the engine can't promise what is asked for; nothing was changed
    ├── UnconfirmedError          503  the event may be stored, or not
    ├── UnavailableError          503  try again later
    │   ├── OverloadedError
    │   ├── StoppingError
    │   └── TooManyRequestsError  429  who asks did so too often
    ├── TimedOutError             504  the event is stored, the answer did not come in time
    ├── StorageError              503  the log can't do what was asked
    │   ├── DiskFullError         507
    │   │   └── QuotaExceededError     the namespace has as many bytes as it may
    │   ├── LogFailedError             a write or sync failed: reads go on, writes need a restart
    │   ├── CorruptLogError            damage before the tail, named by file, offset and indexes
    │   ├── WrongKeyError              the key doesn't open what is stored
    │   ├── LogVersionError            the file is of a version this Bus doesn't know
    │   └── DirectoryLockedError       another process has the data directory
    ├── ConfigError                    a setting can't be read
    ├── RejectError                    raised by a worker's handler: the event can't be handled by anyone
    └── ConnectionFailedError          the client can't reach the server

Each class names the HTTP status that answers it and a ``code`` that stays the same over releases, so
that an error raised in the server reaches the Python caller as the same class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

from bus.receipt import Receipt


class BusError(Exception):
    """Whatever goes wrong in Bus. The message is one line: what happened, to what, and what to do.

    Attributes:
        status: the HTTP status that answers it.
        code: its name in the problem details of the HTTP interface, the same over releases.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"

    @property
    def message(self) -> str:
        return str(self)

    def without_traceback(self) -> Self:
        """The error as something to be told or kept: where it was raised would keep alive all that was known there."""
        self.__traceback__ = self.__cause__ = self.__context__ = None
        return self


class InvalidError(BusError):
    """The caller sent something that can't be understood; nothing was changed."""

    status = 400
    code = "invalid"


class InvalidSubjectError(InvalidError):
    """A subject or pattern breaks the rules of ``bus.subject``."""

    code = "invalid-subject"


class InvalidEventError(InvalidError):
    """The body of a publish is not an event."""

    code = "invalid-event"


class InvalidParameterError(InvalidError):
    """A query parameter, header or option has a value that can't be read."""

    code = "invalid-parameter"


class MalformedError(InvalidError):
    """The bytes are not an HTTP/1.1 request; the connection can't be used any more."""

    code = "malformed"


class RequestTimeoutError(MalformedError):
    """The request did not arrive in time."""

    status = 408
    code = "request-timeout"


class RequestLineTooLongError(MalformedError):
    """The method, path and query together are longer than the server reads."""

    status = 414
    code = "request-line-too-long"


class ExpectationFailedError(MalformedError):
    """The request expects something other than ``100-continue``."""

    status = 417
    code = "expectation-failed"


class HeadTooLargeError(MalformedError):
    """The headers are too many or too long."""

    status = 431
    code = "head-too-large"


class NotImplementedMethodError(MalformedError):
    """The method or transfer coding is none this server knows."""

    status = 501
    code = "not-implemented"


class VersionNotSupportedError(MalformedError):
    """The request is of another protocol, or of another version of HTTP."""

    status = 505
    code = "version-not-supported"


class UnauthorizedError(BusError):
    """Who asks isn't known: no token came along, or one that isn't valid; nothing was changed."""

    status = 401
    code = "unauthorized"


class ForbiddenError(BusError):
    """Who asks may not have this done; nothing was changed."""

    status = 403
    code = "forbidden"


class MethodNotAllowedError(BusError):
    """The path exists, but not for this method.

    Attributes:
        allowed: the methods it is for, separated by commas.
    """

    status = 405
    code = "method-not-allowed"

    def __init__(self, message: str, *, allowed: str = "") -> None:
        super().__init__(message)
        self.allowed = allowed


class NotFoundError(BusError):
    """What was named doesn't exist on this server."""

    status = 404
    code = "not-found"


class UnknownNamespaceError(NotFoundError):
    """The first segment of the subject is not among the server's namespaces."""

    code = "unknown-namespace"


class UnknownEventError(NotFoundError):
    """No event has this id, or it isn't awaiting an acknowledgement."""

    code = "unknown-event"


class UnknownConsumerError(NotFoundError):
    """No consumer has this id or name."""

    code = "unknown-consumer"


class UnknownScheduleError(NotFoundError):
    """No event is scheduled by this id or name, or none any more."""

    code = "unknown-schedule"


class ConflictError(BusError):
    """The request contradicts what the server holds."""

    status = 409
    code = "conflict"


class DuplicateKeyError(ConflictError):
    """An event with this subject and key is already stored.

    Attributes:
        receipt: that of the event that is stored, if the server told.
    """

    code = "duplicate-key"

    def __init__(self, message: str = "key was processed before", *, receipt: Receipt | None = None) -> None:
        super().__init__(message)
        self.receipt = receipt


class AmbiguousEventError(ConflictError):
    """Several namespaces have an event with this id, and it wasn't said in which one it is meant.

    Attributes:
        namespaces: those of them that who asks may know of, if the server told.
    """

    code = "ambiguous-event"

    def __init__(self, message: str, *, namespaces: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.namespaces = tuple(namespaces)


class NotOwnerError(ConflictError):
    """The delivery was handed to another connection of the consumer."""

    code = "not-owner"


class TooManyConsumersError(ConflictError):
    """A new durable consumer would be one more than the server keeps; waiting doesn't help."""

    code = "too-many-consumers"


class ConsumerMismatchError(ConflictError):
    """A durable consumer of this name exists with other patterns, order or redelivery."""

    code = "consumer-mismatch"


class WrongIndexError(BusError):
    """The log, or what of it is on the event's subject, doesn't end where the publisher expects; nothing was stored.

    Attributes:
        actual: the index of the last event there, 0 if there is none.
    """

    status = 412
    code = "wrong-index"

    def __init__(self, message: str, *, actual: int = 0) -> None:
        super().__init__(message)
        self.actual = actual


class TooLargeError(BusError):
    """The body is larger than the server takes."""

    status = 413
    code = "too-large"


class UnsupportedEncodingError(BusError):
    """The body is compressed in a way the server doesn't know, or isn't what its ``Content-Encoding`` says."""

    status = 415
    code = "unsupported-encoding"


class MisdirectedError(BusError):
    """The request names a host that isn't among those the server answers for."""

    status = 421
    code = "misdirected"


class ServiceError(BusError):
    """The service that took the request rejected it; the message is the service's reason."""

    status = 502
    code = "service-error"


class NotSupportedError(BusError):
    """The server's engine can't promise what is asked for; nothing was changed."""

    status = 501
    code = "not-supported"


class UnconfirmedError(BusError):
    """It isn't known whether the event is stored: publishing it again may store it twice, unless it has a key."""

    status = 503
    code = "unconfirmed"


class UnavailableError(BusError):
    """Not now; the same request may succeed later.

    Attributes:
        retry_after: seconds to wait before trying again.
    """

    status = 503
    code = "unavailable"

    def __init__(self, message: str, *, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class OverloadedError(UnavailableError):
    """A limit that protects the server is reached, or it has to catch up first; nothing was changed."""

    code = "overloaded"


class StoppingError(UnavailableError):
    """The server is shutting down."""

    code = "stopping"


class TooManyRequestsError(UnavailableError):
    """Who asks did so more often, or sent more, than is allowed; nothing was changed."""

    status = 429
    code = "too-many-requests"


class TimedOutError(BusError, TimeoutError):
    """No answer within the time allowed; also Python's own `TimeoutError`.

    Attributes:
        receipt: that of the event, if the server stored it before the time ran out.
    """

    status = 504
    code = "timed-out"

    def __init__(self, message: str, *, receipt: Receipt | None = None) -> None:
        super().__init__(message)
        self.receipt = receipt


class StorageError(BusError):
    """The log can't do what was asked of it."""

    status = 503
    code = "storage"


class DiskFullError(StorageError):
    """No room for the batch; nothing of it was kept, and writing works again when there is room."""

    status = 507
    code = "disk-full"


class QuotaExceededError(DiskFullError):
    """The namespace holds as many bytes as it may; publishing works again when some of them are deleted."""

    code = "quota-exceeded"


class LogFailedError(StorageError):
    """A write or sync failed, so the tail on disk is unknown: no more writes until a restart recovers it."""

    code = "log-failed"


class CorruptLogError(StorageError):
    """Stored bytes are not what was written, at a place that no crash explains."""

    code = "corrupt-log"


class WrongKeyError(StorageError):
    """The secret key is missing, wrong, or given for a log that is not encrypted."""

    code = "wrong-key"


class LogVersionError(StorageError):
    """The file was written by another version of the format."""

    code = "log-version"


class DirectoryLockedError(StorageError):
    """Another process serves the data directory."""

    code = "directory-locked"


class ConfigError(BusError):
    """A setting is missing or can't be read."""

    code = "config"


class RejectError(BusError):
    """Raised by a handler that will never be able to handle the event; the message is the reason."""

    code = "rejected"


class ConnectionFailedError(BusError, ConnectionError):
    """The server can't be reached, or the connection broke before the answer.

    It is also Python's own `ConnectionError`.
    """

    code = "connection-failed"


def error_class(code: str) -> type[BusError] | None:
    """The class that carries *code*, or None for a code this version doesn't know."""
    return _CLASSES.get(code)


def _subclasses(cls: type[BusError]) -> list[type[BusError]]:
    return [cls, *(found for sub in cls.__subclasses__() for found in _subclasses(sub))]


_CLASSES = {cls.code: cls for cls in _subclasses(BusError)}
