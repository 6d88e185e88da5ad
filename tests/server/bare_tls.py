"""TLS over a plain socket, so that tests choose how its bytes travel, and how the connection ends."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.support import PATIENCE


@contextmanager
def connect_in_the_clear(port: int) -> Iterator[socket.socket]:
    """A connection on which no TLS is spoken."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection


def read_to_end(connection: socket.socket) -> bytes:
    """What comes until the other side has said goodbye, or hung up in the clear."""
    received = b""
    with suppress(ssl.SSLZeroReturnError):
        while data := connection.recv(65536):
            received += data
    return received


class BareTls:
    """The client's end of TLS on *connection*, whose handshake is done; it sends at most *piece* bytes at once."""

    def __init__(self, connection: socket.socket, context: ssl.SSLContext, *, piece: int = 65536) -> None:
        self._connection = connection
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._piece = piece
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")
        while not self._is_done():
            self._flush()
            self._incoming.write(connection.recv(piece))
        self._flush()

    def _is_done(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def _flush(self) -> None:
        while data := self._outgoing.read(self._piece):
            self._connection.sendall(data)

    def send(self, data: bytes) -> None:
        self._connection.sendall(self.encrypt(data))

    def say_goodbye(self) -> None:
        """Say that nothing more will come, without a look at what the other side says."""
        with suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        self._flush()

    def encrypt(self, data: bytes) -> bytes:
        """*data* as it would be sent."""
        self._tls.write(data)
        return self._outgoing.read()

    def rest(self) -> bytes:
        """What the server sends until it says goodbye."""
        plain = b""
        while True:
            try:
                piece = self._tls.read(65536)
            except ssl.SSLWantReadError:
                self._incoming.write(self._connection.recv(self._piece))
            except ssl.SSLZeroReturnError:  # both have said goodbye
                return plain
            else:
                if not piece:
                    return plain
                plain += piece
