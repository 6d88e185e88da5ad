"""What can go wrong between a client and NATS, by what is known of the request that failed.

NatsError
├── NotDeliveredError          nobody took it, and nothing was stored: to repeat it is safe
│   ├── DisconnectedError          no server is connected, so it wasn't sent
│   ├── PayloadTooLargeError       no server takes so much, so it wasn't sent
│   └── NoRespondersError          503: nobody listens on that subject
├── UnknownOutcomeError        it may have been done, or may yet be
│   ├── ConnectionLostError        the connection ended before the answer came
│   └── NoAnswerError              no answer came in time
├── StatusError                an answer that is a status and not a message
│   └── NotFoundError              404
├── ApiError                   JetStream refused it: its description, code and err_code
├── CannotConnectError         a server can't be reached, or doesn't answer
│   └── UnauthorizedError          it doesn't take these credentials
├── UnsuitableError            a server is too old, or set so that it can't be used
├── RefusedError               -ERR: a subject that may not be used, say; the connection stays
├── ProtocolError              what came isn't NATS
└── SettingsError              an address or credentials can't be read
"""

from __future__ import annotations


class NatsError(Exception):
    """Whatever goes wrong with NATS. The message is one line: what happened, to what, and what to do."""


class NotDeliveredError(NatsError):
    """Nobody took the request, and nothing was stored: to repeat it is safe."""


class DisconnectedError(NotDeliveredError):
    """No server is connected, so nothing was sent."""

    def __init__(self) -> None:
        super().__init__("not connected to NATS: nothing was sent; repeat it once a server is back")


class PayloadTooLargeError(NotDeliveredError):
    """The server takes no message of this size, and would close the connection if it were sent."""

    def __init__(self, subject: str, size: int, most: int) -> None:
        super().__init__(f"{size} bytes for {subject} are more than max_payload ({most}): nothing was sent")


class NoRespondersError(NotDeliveredError):
    """Nobody listens on the subject of the request (503)."""

    def __init__(self, subject: str) -> None:
        super().__init__(f"no responders on {subject}: nothing was done; repeat it, or look whether JetStream is up")


class UnknownOutcomeError(NatsError):
    """The request was sent and not answered: it may have been done, or may yet be."""


class ConnectionLostError(UnknownOutcomeError):
    """The connection ended before the answer came."""


class NoAnswerError(UnknownOutcomeError):
    """No answer came in time."""

    def __init__(self, subject: str, seconds: float) -> None:
        super().__init__(f"no answer from {subject} in {seconds:g} s: whether it was done is unknown")


class StatusError(NatsError):
    """An answer that is a status and not a message.

    Attributes:
        status: such as 408.
        description: what the server says of it.
    """

    def __init__(self, subject: str, status: int, description: str) -> None:
        super().__init__(f"{subject} answered {status}: {description}")
        self.status = status
        self.description = description


class NotFoundError(StatusError):
    """404: there is no such message."""


class ApiError(NatsError):
    """JetStream refused a request.

    Attributes:
        code: like an HTTP status.
        err_code: what was refused, the same over releases.
        description: what the server says of it.
    """

    def __init__(self, subject: str, *, code: int, err_code: int, description: str) -> None:
        super().__init__(f"{subject} refused: {description} ({err_code})")
        self.code = code
        self.err_code = err_code
        self.description = description


class CannotConnectError(NatsError):
    """A server can't be reached, or doesn't answer."""


class UnauthorizedError(CannotConnectError):
    """A server doesn't take the credentials."""


class UnsuitableError(NatsError):
    """A server is too old, or set so that it can't be used."""


class RefusedError(NatsError):
    """The server said -ERR and left the connection open: a subject may not be used, say."""


class ProtocolError(NatsError):
    """What the server sent isn't the protocol of NATS."""


class SettingsError(NatsError):
    """An address or credentials can't be read."""
