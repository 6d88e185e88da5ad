"""The answer to an NDJSON publish: a receipt or refusal for each run of lines, in their order.

expected ─▶ known ─▶ its turn ─┬─▶ written, in chunks
                               └─▶ backlog, while the client takes nothing ─▶ written
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections import Counter, deque
from collections.abc import Callable, Iterator

from bus.errors import BusError
from bus.server.api.ndjson_backlog import ReceiptBacklog
from bus.server.http.memory_limits import Holding, Memory
from bus.server.http.responder import Responder
from bus.server.http.response import format_headers
from bus.wire import NDJSON, encode_refusal


class RunAnswer:
    """What goes back for a run of lines, once it is known."""

    __slots__ = ("data", "lines")

    def __init__(self, lines: int) -> None:
        self.lines = lines
        self.data = b""


class Receipts:
    """Sends receipts through *responder*, in chunks if *chunked*, else the answer ends with the connection.

    Those that the client doesn't take count in *memory*. *went_on* is called when some have left, or may.
    """

    def __init__(
        self,
        responder: Responder,
        *,
        chunked: bool,
        memory: Memory,
        loop: AbstractEventLoop,
        went_on: Callable[[], None],
    ) -> None:
        self.unanswered = 0
        self._responder = responder
        self._chunked = chunked
        self._loop = loop
        self._went_on = went_on
        self._answers: deque[RunAnswer] = deque()
        self._backlog = ReceiptBacklog()
        self._holding = Holding(memory)
        self._begun = False
        self._complete = False
        self._failure: BusError | None = None
        self._scheduled = False
        responder.on_lost = self._abandon
        responder.on_writable = self.send_soon

    @property
    def held(self) -> int:
        """Bytes kept for a client that doesn't take them."""
        return self._backlog.size

    @property
    def refusals(self) -> Counter[str]:
        """How often each error was told."""
        return self._responder.connection.refusals

    def expect(self, lines: int) -> RunAnswer:
        """So many lines will be answered together, after those before."""
        answer = RunAnswer(lines)
        self._answers.append(answer)
        self.unanswered += lines
        return answer

    def refuse(self, answer: RunAnswer, error: BusError) -> None:
        self.refusals[error.code] += answer.lines
        self.give(answer, encode_refusal(error) * answer.lines)

    def give(self, answer: RunAnswer, data: bytes) -> None:
        """*data* is what goes back for the lines of *answer*."""
        answer.data = data
        self.send_soon()

    def finish(self, failure: BusError | None) -> None:
        """Nothing more is expected; *failure* is told at the end."""
        self._complete = True
        self._failure = failure
        self.send_soon()

    def send_soon(self) -> None:
        """Send what there is at the end of this turn of the loop: once per commit, not once per line."""
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._responder.run, self._send_due)

    def _send_due(self) -> None:
        self._scheduled = False
        if self._responder.done:
            return
        self._pass_on(b"".join(self._due()))
        if not self._complete:
            self._went_on()
        elif not self._answers:
            self._end()

    def _due(self) -> Iterator[bytes]:
        while self._answers and self._answers[0].data:
            answer = self._answers.popleft()
            self.unanswered -= answer.lines
            yield answer.data

    def _pass_on(self, data: bytes) -> None:
        """Send *data*, behind what waits to be sent, as far as the client takes it."""
        while self._backlog and self._responder.takes_more:
            self._write(self._backlog.take())
        if data and (self._backlog or not self._responder.takes_more):
            self._backlog.add(data)
        elif data:
            self._write(data)
        self._holding.keep(self._backlog.size)

    def _write(self, data: bytes) -> None:
        self._begin()
        self._responder.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            coding = {"Transfer-Encoding": "chunked"} if self._chunked else {}
            self._responder.begin(202, format_headers({"Content-Type": NDJSON, **coding}))

    def _end(self) -> None:
        """Everything is answered: say why the body can't be read on, or that this is all."""
        failure, self._failure = self._failure, None
        if failure and (self._begun or self._backlog):
            self.refusals[failure.code] += 1
            self._pass_on(encode_refusal(failure))
        elif failure:
            self._responder.fail(failure)
        if self._backlog or self._responder.done:
            return
        self._begin()
        self._responder.write(b"0\r\n\r\n" if self._chunked else b"")
        self._responder.finish()

    def _abandon(self) -> None:
        """The client is gone, and nobody is told."""
        self._backlog = ReceiptBacklog()
        self._holding.release()

    def __repr__(self) -> str:
        return f"<Receipts of {self.unanswered} lines, {self.held} bytes not taken>"
