"""An NDJSON publish: independent events, a line each; a receipt or refusal a line, in order.

    socket ─▶ lines ─▶ runs ─▶ engine ─▶ receipts ─▶ chunks of the answer
      ▲                                     │
      └──── left alone while too many lines wait for their receipts

Lines that come in together, for one namespace and without keys, are stored as one run, because nothing
can befall one of them alone. A line that might be refused by itself goes by itself.
"""

from __future__ import annotations

import time
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from bus.engine.base import Engine
from bus.engine.guard import as_bus_error
from bus.errors import BusError
from bus.event import Draft, Receipt
from bus.server import limits
from bus.server.exchange import Exchange
from bus.server.request import too_large
from bus.server.response import format_headers
from bus.wire import NDJSON, decode_draft, encode_receipts, encode_refusal

LONGEST_RUN = 1024
"""Lines stored at once: enough that their number no longer matters."""


class _Answer:
    """What goes back for a run of lines, once it is known."""

    __slots__ = ("data", "lines")

    def __init__(self, lines: int) -> None:
        self.lines = lines
        self.data = b""


class Upload:
    """The body of one NDJSON publish as it comes in, and its answer.

    Lines are at most *longest* bytes. The answer goes out in chunks if *chunked*, else it ends with the connection.
    *read_on* is called when more lines can be taken after `feed` asked for a pause.
    """

    def __init__(
        self,
        engine: Engine,
        exchange: Exchange,
        *,
        longest: int,
        chunked: bool,
        read_on: Callable[[], None],
        loop: AbstractEventLoop,
    ) -> None:
        self._engine = engine
        self._exchange = exchange
        self._longest = longest
        self._chunked = chunked
        self._read_on = read_on
        self._loop = loop
        self._rest = b""
        self._answers: deque[_Answer] = deque()
        self._unanswered = 0
        self._complete = False
        self._begun = False
        self._scheduled = False

    # -- lines in

    def feed(self, data: bytes) -> bool:
        """Publish the lines that *data* completes; False if too many wait for their receipts.

        Raises `TooLargeError` when a line doesn't end in time.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._publish_lines(lines)
        if len(self._rest) > self._longest:
            raise too_large(self._longest)
        return self._unanswered < limits.UPLOAD_LINES

    def finish(self) -> None:
        self._publish_lines([self._rest])
        self._rest = b""
        self._complete = True
        self._answer_soon()

    def fail(self, error: BusError) -> None:
        """The rest of the body can't be read: what came as a whole line counts, then comes *error*."""
        self._complete = True
        if self._begun or self._answers:
            self._refuse(self._expect(1), error)
        else:
            self._exchange.fail(error)

    def _publish_lines(self, lines: Sequence[bytes]) -> None:
        now = time.time_ns()
        for run in _runs([self._decode(line) for line in lines if line and not line.isspace()]):
            self._publish_run(run, now)
        self._answer_soon()

    def _decode(self, line: bytes) -> Draft | BusError:
        try:
            if len(line) > self._longest:
                raise too_large(self._longest)
            return decode_draft(line)
        except BusError as error:
            return error

    def _publish_run(self, run: Sequence[Draft | BusError], now: int) -> None:
        """Publish a run at once; if some event of it is refused, each by itself."""
        answer = self._expect(len(run))
        try:
            self._publish(_drafts(run), answer, now)
        except Exception as error:
            if len(run) == 1 or not isinstance(error, BusError):
                self._refuse(answer, as_bus_error(error, "publishing a line of NDJSON"))
                return
            self._unexpect(answer)
            for draft in run:
                self._publish_run([draft], now)

    def _publish(self, drafts: Sequence[Draft], answer: _Answer, now: int) -> None:
        def published(receipts: Sequence[Receipt], error: BusError | None) -> None:
            if error:
                self._refuse(answer, error)
            else:
                answer.data = encode_receipts(receipts)
                self._answer_soon()

        self._engine.publish(drafts, published, now=now)

    # -- receipts out

    def _expect(self, lines: int) -> _Answer:
        answer = _Answer(lines)
        self._answers.append(answer)
        self._unanswered += lines
        return answer

    def _unexpect(self, answer: _Answer) -> None:
        self._answers.remove(answer)
        self._unanswered -= answer.lines

    def _refuse(self, answer: _Answer, error: BusError) -> None:
        answer.data = encode_refusal(error) * answer.lines
        self._answer_soon()

    def _answer_soon(self) -> None:
        """Send what there is at the end of this turn of the loop: once per commit, not once per line."""
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._exchange.run, self._answer)

    def _answer(self) -> None:
        """Send the receipts that are there, in order, and the end after the last."""
        self._scheduled = False
        if self._exchange.done:
            return
        if data := b"".join(self._due()):
            self._send(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        if self._complete and not self._answers:
            self._send(b"0\r\n\r\n" if self._chunked else b"")
            self._exchange.finish()
        elif self._unanswered < limits.UPLOAD_LINES // 2:
            self._read_on()

    def _due(self) -> Iterator[bytes]:
        while self._answers and self._answers[0].data:
            answer = self._answers.popleft()
            self._unanswered -= answer.lines
            yield answer.data

    def _send(self, data: bytes) -> None:
        if not self._begun:
            self._begun = True
            coding = {"Transfer-Encoding": "chunked"} if self._chunked else {}
            self._exchange.begin(202, format_headers({"Content-Type": NDJSON, **coding}))
        self._exchange.write(data)

    def __repr__(self) -> str:
        return f"<Upload {self._unanswered} lines unanswered>"


def _runs(drafts: Sequence[Draft | BusError]) -> Iterator[list[Draft | BusError]]:
    """Cut *drafts* into runs that can be stored at once; one that might be refused by itself is alone."""
    run: list[Draft | BusError] = []
    namespace = ""
    for draft in drafts:
        found = _namespace_if_plain(draft)
        if run and (not found or found != namespace or len(run) >= LONGEST_RUN):
            yield run
            run = []
        run.append(draft)
        namespace = found
    if run:
        yield run


def _namespace_if_plain(draft: Draft | BusError) -> str:
    """The namespace of a draft that can share a run, empty for one that can't."""
    if isinstance(draft, BusError) or draft.key:
        return ""
    return (draft.subject or "").partition(".")[0]


def _drafts(run: Sequence[Draft | BusError]) -> list[Draft]:
    """The run's drafts; raises the error that stands for a line that couldn't be read."""
    drafts = []
    for draft in run:
        if isinstance(draft, BusError):
            raise draft
        drafts.append(draft)
    return drafts
