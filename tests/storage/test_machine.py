"""A log against a list: any sequence of operations, restarts and crashes leaves them equal."""

from __future__ import annotations

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bus.storage import Batch, Cipher, Log, RetentionPolicy, verify
from tests.storage.forgetful import ForgetfulFiles

from .support import DIRECTORY, content, make_batch

NAMES = [b"app.a", b"app.b", b"app.c"]
events = st.lists(st.tuples(st.binary(max_size=60), st.sampled_from(NAMES)), min_size=1, max_size=6)


class LogMachine(RuleBasedStateMachine):
    """``batches`` is all that was ever appended and not lost; the log begins at ``first``."""

    @initialize(encrypted=st.booleans(), segment_bytes=st.integers(400, 3000), preallocate=st.booleans())
    def begin(self, encrypted: bool, segment_bytes: int, preallocate: bool) -> None:
        self.disk = ForgetfulFiles()
        self.cipher = Cipher("secret", block_size=64) if encrypted else None
        self.segment_bytes = segment_bytes
        self.preallocate = preallocate
        self.batches: list[Batch] = []
        self.synced = 0
        self.time = 0
        self.open()

    def open(self) -> None:
        self.log = Log.open(
            DIRECTORY,
            files=self.disk,
            cipher=self.cipher,
            segment_bytes=self.segment_bytes,
            preallocate=self.preallocate,
        )
        assert self.log.damage == ()

    @property
    def kept(self) -> list[Batch]:
        return [batch for batch in self.batches if batch.first >= self.log.first]

    @rule(events=events, keyed=st.booleans(), client_ids=st.integers(0, 3), passed=st.integers(0, 2))
    def append(self, events: list[tuple[bytes, bytes]], keyed: bool, client_ids: int, passed: int) -> None:
        self.time += passed
        frames, subjects = zip(*events, strict=True)
        first = self.log.next
        batch = make_batch(
            first, frames, time=self.time, subjects=subjects, keyed=keyed,
            client_ids=[(digest, first) for digest in range(client_ids)],
        )  # fmt: skip
        self.log.append(batch)
        self.batches.append(batch)

    @rule()
    def sync(self) -> None:
        self.log.sync()
        self.synced = len(self.batches)

    @rule()
    def roll(self) -> None:
        self.log.roll()

    @rule()
    def restart(self) -> None:
        self.log.close()
        self.synced = len(self.batches)
        self.open()

    @rule()
    def kill(self) -> None:
        self.open()
        assert self.log.torn is None
        self.synced = len(self.batches)

    @rule(seed=st.integers(0, 1 << 16), chance=st.sampled_from([0.0, 0.3, 0.7, 1.0]))
    def cut_power(self, seed: int, chance: float) -> None:
        choose = random.Random(seed)
        self.disk = self.disk.crash(lambda: choose.random() < chance)
        self.open()
        left = len([batch for batch in self.batches if batch.first < self.log.next])
        assert self.synced <= left
        self.batches = self.batches[:left]
        self.synced = left

    @rule(share=st.floats(0, 1))
    def drop(self, share: float) -> None:
        index = 1 + int(share * self.log.next)
        for segment in self.log.drop_before(index):
            assert segment.next <= index

    @rule(events=st.integers(0, 50))
    def retain(self, events: int) -> None:
        self.log.drop_before(RetentionPolicy(events=events).cut(self.log.segments, now=0))
        assert self.log.next - self.log.first >= min(events, sum(batch.count for batch in self.kept))

    @rule(limit=st.integers(1, 2000))
    def read(self, limit: int) -> None:
        assert content(self.log, limit=limit) == self.kept

    @rule(time=st.integers(0, 60))
    def find_time(self, time: int) -> None:
        later = (batch.first for batch in self.kept if batch.time >= time)
        assert self.log.find_time(time) == next(later, self.log.next)

    @rule(digest=st.integers(0, 3))
    def find_client_id(self, digest: int) -> None:
        found = [batch.first for batch in reversed(self.kept) if (digest, batch.first) in batch.client_ids]
        assert self.log.find_client_id(digest) == found

    @rule()
    def find_keyed(self) -> None:
        assert list(self.log.keyed_batches()) == [batch for batch in reversed(self.kept) if batch.keyed]

    @rule()
    def verify(self) -> None:
        for checked in verify(DIRECTORY, files=self.disk, cipher=self.cipher):
            assert (checked.damage, checked.torn) == ((), None)

    @rule()
    def look(self) -> None:
        log = Log.open(DIRECTORY, files=self.disk, cipher=self.cipher, read_only=True)
        assert content(log) == self.kept
        assert (log.first, log.segments) == (self.log.first, self.log.segments)

    @invariant()
    def agree(self) -> None:
        if hasattr(self, "log"):
            assert self.log.next == (self.batches[-1].next if self.batches else 1)
            assert self.log.time in (self.time, self.batches[-1].time if self.kept else 0)


TestLogMachine = LogMachine.TestCase
TestLogMachine.settings = settings(max_examples=100, stateful_step_count=40)
