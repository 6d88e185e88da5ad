"""Publishing only if the log ends where it is expected to, against a list of what is stored: whatever commits do.

A committer that waits to be told decides when each commit is done, and how much of it was stored.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bus.engine.base import Expected
from bus.engine.embedded.log_namespace import LogNamespace
from bus.errors import BusError, DiskFullError, DuplicateKeyError, InvalidEventError, WrongIndexError
from bus.event import Draft, Receipt
from tests.engine.support import ManualLoop, Publishing, ToldCommitter, open_namespace

NOW = 1_700_000_000_000_000_000
SUBJECTS = ["app.a", "app.b", "app.c"]


@dataclass(slots=True, kw_only=True)
class Told(Publishing):
    """A publisher that looks at what is committed when it is told that the log ends elsewhere."""

    subject: str
    expected: Expected | None
    key: str
    log: Stored

    def failed(self, error: BusError) -> None:
        assert self.failure is None and not self.outcomes, "told once"
        self.failure = error
        if isinstance(error, WrongIndexError):
            assert self.expected
            ends = (self.expected.last, self.log.last()), (self.expected.last_of_subject, self.log.last(self.subject))
            assert any(expected is not None and expected != actual == error.actual for expected, actual in ends), ends

    @property
    def is_told(self) -> bool:
        return bool(self.outcomes) or self.failure is not None


class Stored:
    """What is stored: the subject of each event, in the order of their indexes."""

    def __init__(self, namespace: LogNamespace) -> None:
        self._namespace = namespace

    def subjects(self) -> list[str]:
        found, index = list[str](), 1
        while batches := self._namespace.read(index):
            found += [batch.subject(place).decode() for batch in batches for place in range(batch.first, batch.next)]
            index = batches[-1].next
        return found

    def last(self, subject: str | None = None, *, before: int | None = None) -> int:
        """The last index, of all events or of those on *subject*."""
        found = self.subjects()[: None if before is None else before - 1]
        return max((index for index, one in enumerate(found, 1) if subject in (None, one)), default=0)


class ConditionalMachine(RuleBasedStateMachine):
    """Publishers with and without expectations, and commits that are done, fail, or are done in part."""

    @initialize()
    def begin(self) -> None:
        self.loop = ManualLoop()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr("bus.engine.embedded.log_namespace.BATCH_BYTES", 300)
        self.committer = ToldCommitter()
        self.namespace = open_namespace(self.loop, committer=self.committer, keys=100)
        self.committer.append = self.namespace.store.append
        self.log = Stored(self.namespace)
        self.publishers: list[Told] = []

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        self.patch.undo()
        self.loop.turn(3)
        while self.committer.waiting:
            self.committer.finish()
            self.loop.turn(3)
        self.what_is_stored_was_expected()
        assert all(publisher.is_told for publisher in self.publishers), "nobody waits for ever"
        self.namespace.close()
        self.loop.close()

    @rule(
        subject=st.sampled_from(SUBJECTS),
        events=st.integers(1, 3),
        last=st.none() | st.integers(-2, 2),
        of_subject=st.none() | st.integers(-1, 3),
        key=st.sampled_from(["", "", "", "k1", "k2"]),
    )
    def publish(self, subject: str, events: int, last: int | None, of_subject: int | None, key: str) -> None:
        """*last* is about what has gathered, *of_subject* counts the events of a subject, to be near the truth."""
        expected = None
        if last is not None or of_subject is not None:
            at = None if of_subject is None else self._place_of(subject, of_subject)
            expected = Expected(None if last is None else max(len(self._names()) + last, 0), at)
        keys = [f"{key}.{number}" if key else None for number in range(events)]
        publisher = Told(subject=subject, expected=expected, key=key, log=self.log)
        self.publishers.append(publisher)
        try:
            drafts = [Draft(subject=subject, key=one) for one in keys]
            self.namespace.publish(drafts, publisher, expected=expected, now=NOW)
        except (WrongIndexError, DuplicateKeyError) as error:
            publisher.failed(error)

    def _place_of(self, subject: str, of_subject: int) -> int:
        """The index of one of the last events of *subject*, those that have gathered included; 0 before the first."""
        found = [0, *(index for index, name in enumerate(self._names(), 1) if name == subject)]
        return found[max(len(found) - 1 - max(of_subject, 0), 0)]

    def _names(self) -> list[str]:
        """The subjects of all events, those that have gathered included."""
        pending = [*self.namespace._committing, *self.namespace._gathering]
        return [*self.log.subjects(), *(name.decode() for one in pending for name in one._subjects)]

    @rule()
    def turn(self) -> None:
        self.loop.turn()

    @rule(stored=st.none() | st.none() | st.integers(0, 2))
    def finish(self, stored: int | None) -> None:
        self.loop.turn()
        if self.committer.waiting:
            self.committer.finish(stored)

    @invariant()
    def what_is_stored_was_expected(self) -> None:
        if not hasattr(self, "log"):
            return
        indexes: list[int] = []
        for publisher in self.publishers:
            receipts = [one for one in publisher.outcomes if isinstance(one, Receipt)]
            indexes += [receipt.index for receipt in receipts]
            if not (receipts and publisher.expected):
                continue
            first, expected = receipts[0].index, publisher.expected
            assert expected.last in (None, first - 1)
            assert expected.last_of_subject in (None, self.log.last(publisher.subject, before=first))
        assert sorted(indexes) == [*range(1, self.namespace.next)], "each index is somebody's"


TestConditionalMachine = ConditionalMachine.TestCase
TestConditionalMachine.settings = settings(max_examples=150, stateful_step_count=30)


# -- the cases by name


@pytest.fixture
def committer() -> ToldCommitter:
    return ToldCommitter()


@pytest.fixture
def namespace(loop: ManualLoop, committer: ToldCommitter) -> LogNamespace:
    """A namespace with one event, on ``app.a``."""
    found = open_namespace(loop, committer=committer, keys=100)
    committer.append = found.store.append
    publish(found, "app.a")
    loop.turn()
    committer.finish()
    return found


def publish(
    namespace: LogNamespace, *subjects: str, last: int | None = None, of_subject: int | None = None, key: str = ""
) -> Publishing:
    publishing = Publishing()
    expected = None if last is of_subject is None else Expected(last, of_subject)
    drafts = [Draft(subject=subject, key=key or None) for subject in subjects]
    namespace.publish(drafts, publishing, expected=expected, now=NOW)
    return publishing


def index_of(publishing: Publishing) -> int:
    (receipt,) = publishing.outcomes
    assert isinstance(receipt, Receipt)
    return receipt.index


def test_who_comes_second_waits_for_the_commit_of_the_first_and_is_told_of_it(
    loop: ManualLoop, namespace: LogNamespace, committer: ToldCommitter
) -> None:
    first, second = publish(namespace, "app.a", of_subject=1), publish(namespace, "app.a", of_subject=1)
    loop.turn()
    assert not first.outcomes and not second.failure
    committer.finish()
    assert index_of(first) == 2
    assert isinstance(second.failure, WrongIndexError) and second.failure.actual == 2


def test_who_comes_second_is_stored_if_the_first_cannot_be(
    loop: ManualLoop, namespace: LogNamespace, committer: ToldCommitter
) -> None:
    first, second = publish(namespace, "app.a", of_subject=1), publish(namespace, "app.a", last=1, key="k")
    loop.turn()
    committer.finish(0)
    assert isinstance(first.failure, DiskFullError) and not second.failure
    loop.turn()
    committer.finish()
    assert index_of(second) == 2
    loop.turn(3)
    assert committer.waiting is None, "nothing is committed twice"


def test_who_goes_on_from_what_has_gathered_is_stored_behind_it(
    loop: ManualLoop, namespace: LogNamespace, committer: ToldCommitter
) -> None:
    publish(namespace, "app.b", of_subject=0)
    loop.turn()
    third, fourth = publish(namespace, "app.b", of_subject=2), publish(namespace, "app.a", last=3, of_subject=1)
    committer.finish()
    loop.turn()
    committer.finish()
    assert (index_of(third), index_of(fourth)) == (3, 4)


def test_a_key_that_was_used_is_said_before_where_the_log_ends(
    loop: ManualLoop, namespace: LogNamespace, committer: ToldCommitter
) -> None:
    """A publisher that sends again what was stored learns that it was."""
    first, again = (publish(namespace, "app.a", of_subject=1, key="k") for _ in range(2))
    loop.turn()
    committer.finish()
    assert isinstance(again.failure, DuplicateKeyError) and again.failure.receipt == first.outcomes[0]
    with pytest.raises(DuplicateKeyError):
        publish(namespace, "app.a", of_subject=1, key="k")


def test_a_key_of_what_was_refused_is_free(namespace: LogNamespace) -> None:
    for _ in range(2):
        with pytest.raises(WrongIndexError):
            publish(namespace, "app.a", of_subject=7, key="k")


def test_an_array_goes_to_one_subject_if_its_end_is_expected(
    loop: ManualLoop, namespace: LogNamespace, committer: ToldCommitter
) -> None:
    with pytest.raises(InvalidEventError, match=r"events of one subject.*app\.a, app\.b"):
        publish(namespace, "app.a", "app.b", of_subject=1)
    both = publish(namespace, "app.a", "app.b", last=1)
    loop.turn()
    committer.finish()
    assert [one.index for one in both.outcomes if isinstance(one, Receipt)] == [2, 3]


def test_a_server_that_stops_tells_those_who_wait(
    loop: ManualLoop, namespace: LogNamespace, committer: ToldCommitter
) -> None:
    told = publish(namespace, "app.a", last=1), publish(namespace, "app.a", last=1)
    loop.turn()
    idle: list[bool] = []
    namespace.stop(lambda: idle.append(True))
    committer.finish()
    assert index_of(told[0]) == 2 and told[1].failure and idle


def test_the_last_of_the_batches_that_have_gathered_says_where_a_subject_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.engine.embedded.log_namespace.BATCH_BYTES", 1)
    with ManualLoop() as loop:
        committer, told = ToldCommitter(), Publishing()
        namespace = open_namespace(loop, committer=committer)
        committer.append = namespace.store.append
        for expected in (None, None, Expected(last_of_subject=2)):
            namespace.publish([Draft(subject="app.a")], told, expected=expected, now=NOW)
        loop.turn()
        committer.finish()
        assert [found.index for found in told.outcomes if isinstance(found, Receipt)] == [1, 2, 3]
