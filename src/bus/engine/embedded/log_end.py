"""Where the log of a namespace ends, or what of it is on one subject, for those who publish only if it ends there.

    what is gathered ends there ────────────▶ met: the event goes behind that, and one commit stores or refuses both
    what is committed ends elsewhere ───────▶ refused, with where it ends
    only what is committed ends there ──────▶ not decided: the commit under way says so

So nobody is refused for an event that is refused itself after all. What isn't decided is looked at again when the
commit is done: if that stored something, what is committed ends elsewhere now.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bus.engine.base import Expected
from bus.engine.checked_draft import CheckedDraft, only_subject
from bus.engine.embedded.batch_builder import BatchBuilder
from bus.engine.embedded.subjects.table import SubjectTable
from bus.errors import WrongIndexError


@dataclass(frozen=True, slots=True)
class LogEnd:
    """The last index *of* something: of what is committed, and of that and what has gathered behind it."""

    of: str
    committed: int
    gathered: int

    def meets(self, expected: int) -> bool:
        """Whether it ends at *expected*; False if that isn't decided. Raises `WrongIndexError` if it doesn't."""
        if self.gathered == expected:
            return True
        if self.committed == expected:
            return False
        raise WrongIndexError(
            f"the last index of {self.of} is {self.committed}, not {expected}: look at what came, and publish again",
            actual=self.committed,
        )


@dataclass(frozen=True, slots=True)
class LogEnds:
    """Where the log of the namespace *name* ends, and what of it is on each of its *subjects*."""

    name: str
    subjects: SubjectTable

    def meet(
        self, expected: Expected, events: Sequence[CheckedDraft], gathered: Sequence[BatchBuilder], *, next: int
    ) -> bool:
        """Whether the log ends as is *expected* of *events*; False if that isn't decided.

        What is committed ends before the index *next*, and what has *gathered* follows it. Raises `WrongIndexError`,
        `InvalidEventError` for events of several subjects, and `UnavailableError` while these are being counted.
        """
        return all(end.meets(index) for end, index in self._about(expected, events, gathered, next))

    def _about(
        self, expected: Expected, events: Sequence[CheckedDraft], gathered: Sequence[BatchBuilder], next: int
    ) -> Iterator[tuple[LogEnd, int]]:
        """The ends that *expected* is about, each with the index that it is to have."""
        if expected.last is not None:
            last = (gathered[-1].next if gathered else next) - 1
            yield LogEnd(f"namespace {self.name}", next - 1, last), expected.last
        if expected.last_of_subject is not None:
            yield self._of_subject(only_subject(events), gathered), expected.last_of_subject

    def _of_subject(self, subject: bytes, gathered: Sequence[BatchBuilder]) -> LogEnd:
        name = subject.decode()
        committed = self.subjects.last(name)
        lasts = (builder.last_of(subject) for builder in reversed(gathered))
        return LogEnd(name, committed, next(filter(None, lasts), committed))
