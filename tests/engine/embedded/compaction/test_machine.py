"""A compacting log against a dictionary of the newest events: whatever happens, each of these is there."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bus.engine.embedded.compaction.compaction import Compaction
from bus.engine.embedded.deletion import Deletion
from bus.engine.embedded.duplicates import FLOOR, Duplicates, stored_keys
from bus.engine.embedded.log_namespace import LogNamespace
from bus.engine.embedded.rewriter import Pace, Rewriter
from bus.event import Receipt
from bus.frame import read_frame, split_frames
from bus.namespace import Compact
from bus.storage import Cipher, verify
from bus.subject import Filter
from bus.units import SECOND_NS
from tests.engine.support import batch, open_namespace
from tests.storage.forgetful import ForgetfulFiles
from tests.storage.support import DIRECTORY

GRACE = 100
WINDOW = 3
SUBJECTS = ["app.a", "app.a", "app.a", "app.b", "app.c", "app.d", "app._dead_.worker"]

drafts = st.lists(st.tuples(st.sampled_from(SUBJECTS), st.integers(0, 3)), min_size=1, max_size=4)
"""Subjects and payloads, of which 0 is null."""


@dataclass(frozen=True)
class Published:
    """An event that was published at *time*; events of one *identity* supersede each other."""

    subject: str
    key: str
    payload: bytes
    identity: object
    time: int


class CompactingLog(RuleBasedStateMachine):
    """``events`` has everything that was published, by index, but for what retention and deletion took."""

    @initialize(
        compact=st.sampled_from(Compact),
        encrypted=st.booleans(),
        segment_bytes=st.integers(600, 4000),
        slots=st.sampled_from([4, 1024]),
    )
    def begin(self, compact: Compact, encrypted: bool, segment_bytes: int, slots: int) -> None:
        self.disk = ForgetfulFiles()
        self.compact = compact
        self.cipher = Cipher("secret", block_size=64) if encrypted else None
        self.segment_bytes = segment_bytes
        self.slots = slots
        self.loop = asyncio.new_event_loop()
        self.events: dict[int, Published] = {}
        self.durable = 1
        self.now = SECOND_NS
        self.open()

    def open(self) -> None:
        self.duplicates = Duplicates("app", size=WINDOW, ttl=None)
        self.namespace = open_namespace(
            self.loop, files=self.disk, segment_bytes=self.segment_bytes,
            compact=self.compact, cipher=self.cipher, duplicates=self.duplicates,
        )  # fmt: skip
        assert self.namespace.store.damage == ()
        self.duplicates.refill(stored_keys(self.namespace.store), now=self.now)
        rewriter = Rewriter(Pace(lambda: -1.0, lambda: 0.0), lambda namespace: (), self.loop)
        self.deletion = Deletion(rewriter)
        self.compaction = Compaction(rewriter, self.loop, grace=GRACE, slots=self.slots)

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.close()

    @rule(passed=st.sampled_from([1, GRACE, 2 * GRACE]))
    def wait(self, passed: int) -> None:
        self.now += passed * SECOND_NS

    @rule(drafts=drafts, key=st.sampled_from(["", "", "k", "l"]), sync=st.booleans())
    def publish(self, drafts: list[tuple[str, int]], key: str, sync: bool) -> None:
        for subject, value in drafts:
            index = self.namespace.next
            used = key and (key if self.compact is Compact.KEY else f"{key}{index}")
            payload, identity = b"%d" % value if value else b"null", self.identity(index, subject, used)
            found = Published(subject, used, payload, identity, self.now)
            self.namespace.store.append(batch(index, [subject], payload=payload, key=used, time=self.now))
            self.namespace.next, self.events[index] = index + 1, found
            if used:
                self.duplicates.store((subject, used), Receipt("e", "", index), now=self.now)
        if sync:
            self.namespace.store.sync()
            self.durable = self.namespace.next

    def identity(self, index: int, subject: str, key: str) -> object:
        if "_dead_" in subject or (self.compact is Compact.KEY and not key):
            return index
        return (subject, key) if self.compact is Compact.KEY else subject

    @rule()
    def roll(self) -> None:
        self.namespace.store.roll()

    @rule(share=st.floats(0, 0.3))
    def retain(self, share: float) -> None:
        self.namespace.store.drop_before(1 + int(share * self.namespace.next))
        self.events = {index: event for index, event in self.events.items() if index >= self.namespace.first}

    @rule(subject=st.sampled_from(["app.b", "app.c"]))
    def delete(self, subject: str) -> None:
        wanted = Filter.parse([subject])
        self.loop.run_until_complete(self.deletion.delete_matching(self.namespace, wanted, before=None))
        self.events = {index: event for index, event in self.events.items() if event.subject != subject}

    @rule()
    def compact_it(self) -> None:
        window = self.namespace.oldest_key
        self.loop.run_until_complete(self.compaction.compact(self.namespace, self.compact, now=self.now))
        left, newest = stored(self.namespace), self.newest()
        for index in left:
            event = self.events[index]
            if index < newest[event.identity]:
                assert event.key and index >= window, f"event {index} is superseded and left"
        self.check_window()

    @rule(seed=st.integers(0, 1 << 16), chance=st.sampled_from([0.0, 0.5, 1.0]))
    def cut_power(self, seed: int, chance: float) -> None:
        choose = random.Random(seed)
        self.disk = self.disk.crash(lambda: choose.random() < chance)
        self.open()
        assert self.namespace.next >= self.durable
        self.events = {index: event for index, event in self.events.items() if index < self.namespace.next}

    @rule()
    def restart(self) -> None:
        self.namespace.close()
        self.open()

    @rule()
    def verify(self) -> None:
        for checked in verify(DIRECTORY, files=self.disk, cipher=self.cipher):
            assert (checked.damage, checked.torn) == ((), None)

    def check_window(self) -> None:
        """A start now would find the keys that are in the window."""
        found = Duplicates("app", size=WINDOW, ttl=None)
        found.refill(stored_keys(self.namespace.store), now=self.now)
        for event in map(self.events.__getitem__, self.window() if self.compact is Compact.SUBJECT else ()):
            key = event.subject, event.key
            if self.duplicates.first(key, now=self.now):
                assert found.first(key, now=self.now), f"{key} is forgotten"

    def window(self) -> list[int]:
        """The events whose keys are to be in the window, as far as it knew them."""
        found: list[int] = []
        for index, event in sorted(self.events.items(), reverse=True):
            if event.key and (len(found) < WINDOW or self.now - event.time < FLOOR):
                found.append(index)
        return found

    def newest(self) -> Mapping[object, int]:
        """The newest index of each identity."""
        return {event.identity: index for index, event in sorted(self.events.items())}

    @invariant()
    def the_newest_of_each_is_there(self) -> None:
        if not hasattr(self, "namespace"):
            return
        left, newest = stored(self.namespace), self.newest()
        for index, payload in left.items():
            assert self.events[index].payload == payload
        for identity, index in newest.items():
            if index in left:
                continue
            event = self.events[index]
            assert event.payload == b"null", f"event {index} of {identity} is lost"
            assert event.time < self.now - GRACE * SECOND_NS, f"the tombstone {index} of {identity} is gone too soon"
            assert not [other for other in left if self.events[other].identity == identity], f"{identity} is back"


def stored(namespace: LogNamespace) -> dict[int, bytes]:
    """The payloads of all events that are left, by index."""
    found: dict[int, bytes] = {}
    index = namespace.first
    while batches := namespace.read_stored(index):
        for part in batches:
            for place, frame in enumerate(split_frames(part.frames, part.lengths), part.first):
                if frame:
                    found[place] = bytes(read_frame(frame).payload)
        index = batches[-1].next
    return found


TestCompactingLog = CompactingLog.TestCase
TestCompactingLog.settings = settings(max_examples=100, stateful_step_count=40)
