"""An NDJSON publish: independent events, a line each; a receipt or refusal a line, in order.

    socket ─▶ lines ─▶ judged ─▶ runs ─▶ engine ─▶ receipts
      ▲      by turns                                 │
      └──── left alone while too many lines are in hand, or too many receipts aren't taken

Lines that come in together for one namespace go to the engine as one run; it stores each by itself.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import cast

from bus.drafts import decode_lines
from bus.engine.base import Outcome, Publishing
from bus.engine.guard import as_bus_error
from bus.errors import BusError
from bus.event import Draft, Receipt
from bus.server.api.ndjson_lines import LineCutter
from bus.server.api.ndjson_receipts import Receipts
from bus.server.api.upload_turns import BYTES_A_LINE, UploadTurns
from bus.server.http import limits
from bus.server.http.memory_limits import Holding, Memory
from bus.server.http.request import too_large
from bus.server.http.responder import Responder
from bus.wire import Durability, encode_receipts, encode_refusal

Judge = Callable[[Sequence[Draft | BusError]], Sequence[Draft | BusError]]
"""Puts a refusal in the place of each draft that may not be published."""

LONGEST_RUN = 1024
"""Lines stored at once: enough that their number no longer matters."""


class NdjsonUpload:
    """The body of one NDJSON publish as it comes in.

    Lines are at most *longest* bytes. The answer goes out in chunks if *chunked*, else it ends with the connection.
    *read_on* is called when more of the body can be taken. *judge* says which lines may be published, *turns* when;
    what is held of them counts in *memory*.
    """

    def __init__(
        self,
        engine: Publishing,
        responder: Responder,
        *,
        longest: int,
        chunked: bool,
        read_on: Callable[[], None],
        judge: Judge,
        turns: UploadTurns,
        memory: Memory,
        loop: AbstractEventLoop,
    ) -> None:
        self._engine = engine
        self._longest = longest
        self._judge = judge
        self._turns = turns
        self._memory = memory
        self._connection = responder.connection
        self._read_on = read_on
        self._lines = LineCutter(longest)
        self._holding = Holding(memory, self._connection.give_way)
        self._receipts = Receipts(responder, chunked=chunked, memory=memory, loop=loop, went_on=self._go_on)
        self._complete = False
        self._failure: BusError | None = None
        self._queued = False

    def feed(self, data: bytes) -> bool:
        """Take in *data*, to be published when it is this upload's turn; no more is taken until then.

        Raises `OverloadedError` if there is no room for it.
        """
        self._lines.feed(data)
        self._holding.resize(self._lines.size)
        self._go_on()
        return False

    def finish(self) -> None:
        self._lines.finish()
        self._complete = True
        self._go_on()

    def fail(self, error: BusError) -> None:
        """The rest of the body can't be read: what came as a whole line counts, then comes *error*."""
        self._failure = error
        self._complete = True
        self._go_on()

    def _go_on(self) -> None:
        """Ask for a turn if there are lines, else for more of the body, or end the answer."""
        if self._lines.pending:
            if not self._queued and self._may_take_lines():
                self._queued = True
                self._turns.add(self)
        elif self._complete:
            self._lines.clear()
            self._holding.release()
            self._receipts.finish(self._failure)
            self._read_on()
        elif self._receipts.unanswered < limits.UPLOAD_LINES // 2:
            self._read_on()

    def _may_take_lines(self) -> bool:
        """Whether more lines may be in hand; what changes that calls `_go_on`."""
        if self._receipts.unanswered >= limits.UPLOAD_LINES:
            return False
        if self._receipts.held and self._memory.full:
            self._memory.wait(self._receipts.send_soon)
            return False
        return self._receipts.held < self._memory.most // limits.UPLOAD_SHARE

    def work(self, most: int, *, now: int) -> int:
        """Publish the next lines, *most* of them at most; returns what that cost, in lines."""
        self._queued = False
        lines = self._lines.take(most)
        for run in _runs(self._judge(self._decode([line for line in lines if line and not line.isspace()]))):
            if isinstance(run, BusError):
                self._receipts.refuse(self._receipts.expect(1), run)
            else:
                self._publish(run, now)
        self._holding.keep(self._lines.size)
        if self._lines.too_long and not self._complete:
            self._connection.give_way(too_large(self._longest))
        else:
            self._go_on()
        return len(lines) + sum(map(len, lines)) // BYTES_A_LINE

    def _decode(self, lines: Sequence[bytes]) -> Sequence[Draft | BusError]:
        drafts = decode_lines(lines)
        if max(map(len, lines), default=0) <= self._longest:
            return drafts
        too_long = too_large(self._longest)
        return [too_long if len(line) > self._longest else draft for line, draft in zip(lines, drafts, strict=True)]

    def _publish(self, drafts: Sequence[Draft], now: int) -> None:
        run = _Run(self._receipts, self._turns, drafts)
        try:
            self._engine.publish(drafts, run, atomic=False, now=now)
        except Exception as error:
            run.failed(as_bus_error(error, "publishing a line of NDJSON"))

    def __repr__(self) -> str:
        return f"<NdjsonUpload {self._lines!r}, {self._receipts!r}>"


class _Run:
    """Lines that are published together: they are under way until all of them are answered."""

    __slots__ = ("_answer", "_receipts", "_size", "_turns")

    def __init__(self, receipts: Receipts, turns: UploadTurns, drafts: Sequence[Draft]) -> None:
        self._receipts = receipts
        self._turns = turns
        self._size = sum([len(draft.payload) for draft in drafts])
        self._answer = receipts.expect(len(drafts))
        turns.begin(self._size)

    def stored(self, outcomes: Sequence[Outcome], durability: Durability) -> None:
        self._turns.end(self._size)
        self._receipts.give(self._answer, _encode(outcomes, self._receipts.refusals))

    def failed(self, error: BusError) -> None:
        self._turns.end(self._size)
        self._receipts.refuse(self._answer, error)


def _encode(outcomes: Sequence[Outcome], refusals: Counter[str]) -> bytes:
    """A line for each outcome; those refused are counted among *refusals*."""
    receipts = [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
    if len(receipts) == len(outcomes):
        return encode_receipts(receipts)
    refusals.update(outcome.code for outcome in outcomes if isinstance(outcome, BusError))
    return b"".join(
        [encode_refusal(found) if isinstance(found, BusError) else encode_receipts([found]) for found in outcomes]
    )


def _runs(drafts: Sequence[Draft | BusError]) -> Iterator[list[Draft] | BusError]:
    """Cut *drafts* into runs of one namespace; a line that couldn't be read is none."""
    for found, group in groupby(drafts, _namespace_of):
        if found is None:
            yield from cast(Iterator[BusError], group)
            continue
        run = cast(list[Draft], list(group))
        for begin in range(0, len(run), LONGEST_RUN):
            yield run[begin : begin + LONGEST_RUN]


def _namespace_of(draft: Draft | BusError) -> str | None:
    return None if isinstance(draft, BusError) else (draft.subject or "").partition(".")[0]
