"""Flow control: when a connection is read from, and what it makes the server hold.

It isn't read while its client takes no answers, while many of them are outstanding, while an upload has enough, or
until its turn has come. However much comes in at once, a connection takes some of it and then gives way to the
others. What it makes the server hold counts in sums over all connections.
"""

from __future__ import annotations

from bus.errors import BusError
from bus.server.http import limits
from bus.server.http.answer_queue import AnswerQueue
from bus.server.http.memory_limits import Holding, Memory
from bus.server.http.responder import Carrier


class FlowControl:
    """Decides whether *carrier* is read from.

    ``paused`` says that an upload takes no more for now, ``uploading`` that one is under way: it may be sent whole
    before its answer is read. ``waiting`` says that the connection's turn has yet to come, and ``reading`` whether the
    socket is being read. ``incoming`` counts what is held of what comes in, ``unread`` what the client doesn't take.
    """

    __slots__ = ("_answers", "_carrier", "incoming", "paused", "reading", "unread", "uploading", "waiting")

    def __init__(self, carrier: Carrier, answers: AnswerQueue, *, incoming: Memory, unread: Memory) -> None:
        self.paused = False
        self.uploading = False
        self.waiting = False
        self.reading = True
        self._carrier = carrier
        self._answers = answers
        self.incoming = Holding(incoming, carrier.give_way)
        self.unread = Holding(unread)

    @property
    def blocked(self) -> bool:
        """Whether no more should be taken for now."""
        carrier, answers = self._carrier, self._answers
        return (
            self.paused or self.waiting or not (carrier.writable or self.uploading) or carrier.stream is not None
            or len(answers.waiting) >= limits.PIPELINE_DEPTH or answers.held_back > limits.WRITE_HIGH_WATER
        )  # fmt: skip

    def balance(self) -> None:
        """Read from the socket exactly while requests are wanted; a stream is read to notice its end."""
        transport = self._carrier.transport
        if transport.is_closing():
            return
        wanted = self._carrier.stream is not None or not self.blocked
        if wanted and not self.reading:
            transport.resume_reading()
        elif self.reading and not wanted:
            transport.pause_reading()
        self.reading = wanted

    # -- what is held

    def count_unread(self) -> None:
        """Count what the client doesn't take, and hang up on it if that is too much for the server."""
        try:
            self.unread.resize(self._carrier.transport.get_write_buffer_size())
        except BusError:
            self._carrier.transport.abort()

    def __repr__(self) -> str:
        return f"<FlowControl {'reading' if self.reading else 'not reading'}, {self.incoming.size} bytes coming in>"
