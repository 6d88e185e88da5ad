"""Batches as they are stored: the unit of append, checksum, encryption and recovery.

A batch is a fixed header and a body; the body is a table and the frames, contiguous, as they will go out
on the wire. All numbers are little endian.

     header   0       4       8       12      16      20      24
              +-------+-------+-------+-------+-------+-------+
              | magic | crc   | body  | table | count |  ids  |   u32 each; magic is FF "BUS"
              +-------+-------+-------+-------+-------+-------+
              24              32              40      44    46    48
              +---------------+---------------+-------+-----+-----+
              | first  u64    | time  i64     |synced | sub | flg |
              +---------------+---------------+-------+-----+-----+

     body     table                                                            frames
              +-------------+-----------+----------+----------+-------------+-------------+----------------+
              | u32 * count | u16 * sub | subjects | u8/u16 * | 2 u64 *     | i64 * count | frame by frame |
              | lengths of  | lengths   |          | count    | ids         | ends of ttl |                |
              | the frames  |           |          | which    | hash, index | if flg has 1|                |
              +-------------+-----------+----------+----------+-------------+-------------+----------------+

* ``crc``: CRC-32C of everything after it, header and body. The state it starts from is that of the segment
  (the CRC of its salt and base) xor the offset of the batch in the file. For given bytes a CRC is a
  bijection of its start, so a batch at a wrong offset fails for certain, and one of another segment with
  probability 1 - 2^-32. ``first`` is covered and must continue the count, so position is checked twice.
* ``body``: bytes stored after the header; ``table``: bytes of the table before encryption; ``count``: events.
* ``ids``: how many events have an id that doesn't carry their index; the table has a pair for each.
* ``first``, ``time``: index of the first event; nanoseconds since the epoch, never less than before.
* ``synced``: everything in the file before this offset was durable when the batch was written. It tells
  damage from a crash (``recovery.py``).
* ``sub``: distinct subjects. With one, ``which`` is empty; to 256 it has a byte for each event, beyond two.
* ``flg``: bit 0, some event carries a duplicate key; bit 1, some event has a time to live, and the table ends with
  when that of each is over. A reader that doesn't know bit 1 passes over these, for the frames begin where ``table``
  says. Bit 2, in segments of version 2 alone: a run. All of its events are deleted, at most `MOST_RUN`, and the table
  is a zero of 4 bytes, there to be encrypted. Bit 3: the frames have core fields alone (``bus.frame``), so clients that
  know no others get them as they are; where it is missing, the frames are looked at.

The magic begins with a byte that UTF-8 never uses, so that no frame of text can pass for a batch.
In an encrypted segment the body is the same bytes in encrypted blocks (``cipher.py``); their context is the digest
of the salt and the header from ``body`` on, so the header is bound to its body.
"""

from __future__ import annotations

import sys
from array import array
from dataclasses import dataclass
from itertools import accumulate, pairwise
from struct import Struct
from typing import Final, NamedTuple

from crc32c import crc32c

from bus.storage.batch import MAX_SUBJECTS, Batch, run
from bus.storage.cipher import Cipher, DecryptionError, digest, encrypted_size

if sys.byteorder != "little":
    raise ImportError("bus.storage reads its tables as machine words and needs a little-endian machine")

MAGIC: Final = b"\xffBUS"
KEYED: Final = 1
EXPIRING: Final = 2
RUN: Final = 4
CORE: Final = 8

MAX_BODY: Final = (1 << 32) - 1
MANY_BATCHES: Final = 1 << 32
"""More than any chunk of a log holds."""

_HEAD: Final = Struct("<4sIIIIIQqIHH")
_CHECKED: Final = Struct("<4sI")
_FIELDS: Final = Struct("<IIIIQqIHH")
HEAD_SIZE: Final = _HEAD.size
_unpack: Final = _HEAD.unpack_from
_RUN_TABLE: Final = bytes(4)


class BatchHead(NamedTuple):
    """The header of a batch as it is stored."""

    magic: bytes
    crc: int
    body: int
    table: int
    events: int
    client_ids: int
    first: int
    time: int
    synced: int
    subjects: int
    flags: int

    @property
    def next(self) -> int:
        """Index of the event after the batch."""
        return self.first + self.events

    @property
    def keyed(self) -> bool:
        """Whether some event in it carries a duplicate key."""
        return self.flags & KEYED != 0

    @property
    def size(self) -> int:
        """Bytes the batch takes in the file."""
        return HEAD_SIZE + self.body


@dataclass(frozen=True, slots=True)
class BatchCodec:
    """Reads and writes the batches of one segment.

    Parameters:
        salt: the random bytes that tell this segment from any other.
        seed: where the CRC starts at offset 0.
        cipher: opens and encrypts the bodies; None if they are plain.
        block_size: plaintext bytes of an encrypted block.
        has_runs: deleted events that come together are written as a run.
    """

    salt: bytes
    seed: int
    cipher: Cipher | None
    block_size: int
    has_runs: bool = False

    def encode(self, batch: Batch, *, offset: int, synced: int) -> bytes:
        """The bytes of *batch* for the place *offset*, when all before *synced* is durable."""
        is_run = self.has_runs and batch.is_run
        table = _RUN_TABLE if is_run else _pack_table(batch)
        body, frames = len(table) + len(batch.frames), batch.frames
        if self.cipher:
            body = encrypted_size(body, self.block_size)
        if body > MAX_BODY:
            raise ValueError(f"a batch of {body} bytes is too large, cut it into smaller ones")
        flags = (KEYED if batch.keyed else 0) | (EXPIRING if batch.expires else 0) | (CORE if batch.core else 0)
        fields = _FIELDS.pack(
            body, len(table), len(batch.lengths), len(batch.client_ids), batch.first, batch.time, synced,
            len(batch.subjects), RUN if is_run else flags,
        )  # fmt: skip
        if self.cipher:
            context = digest(self.salt + fields)
            frames = self.cipher.encrypt(table + frames, context=context, block_size=self.block_size)
            table = b""
        crc = crc32c(frames, crc32c(fields + table, self.seed ^ offset))
        return b"".join((_CHECKED.pack(MAGIC, crc), fields, table, frames))

    def decode(
        self,
        chunk: bytes,
        *,
        offset: int,
        expected: int,
        index: int,
        limit: int = MAX_BODY,
        most: int = MANY_BATCHES,
    ) -> list[Batch]:
        """The valid batches in *chunk*, from the one with the event *index* on.

        Parameters:
            chunk: bytes of the segment, from the start of a batch on.
            offset: where in the segment they are.
            expected: index of the first event of the first batch.
            index: batches wholly before this event are passed over unchecked.
            limit: no batch that begins so many bytes or more behind the first one is looked at.
            most: how many batches at most.

        Returns:
            The batches up to the first that is incomplete, damaged, doesn't continue the count, or doesn't
            open with the key.
        """
        batches: list[Batch] = []
        view, size, at, seed = memoryview(chunk), len(chunk), 0, self.seed
        begin, last = 0, size - HEAD_SIZE
        while at <= last:
            magic, crc, body, table, count, client_ids, first, time, _, subjects, flags = _unpack(chunk, at)
            end = at + HEAD_SIZE + body
            if first != expected or magic != MAGIC or end > size:
                break
            expected += count
            if expected > index:
                if not batches:
                    begin, last = at, min(last, at + limit - 1)
                if crc32c(view[at + 8 : end], seed ^ (offset + at)) != crc:
                    break
                plain, start, stop = chunk, at + HEAD_SIZE, end
                if self.cipher:
                    plain, start = self._open(self.cipher, view, at, end), 0
                    stop = len(plain)
                    if not plain:
                        break
                if flags & RUN:
                    batches.append(run(first, time, count))
                    limit -= 4 * count
                    last = min(last, begin + limit - 1)
                else:
                    frames = plain[start + table : stop]
                    lengths, names, which, pairs = _unpack_table(plain, start, count, subjects, client_ids)
                    expires = array("q", plain[start + table - 8 * count : start + table]) if flags & EXPIRING else ()
                    batches.append(Batch(
                        first, expected, time, frames, lengths, names, which, flags & KEYED != 0, pairs, expires,
                        flags & CORE != 0,
                    ))  # fmt: skip
                if len(batches) == most:
                    break
            at = end
        return batches

    def heads(self, chunk: bytes, *, offset: int, expected: int) -> list[BatchHead]:
        """The headers of the valid batches in *chunk*, like ``decode`` but without taking them apart."""
        heads: list[BatchHead] = []
        view, size, at, seed = memoryview(chunk), len(chunk), 0, self.seed
        while at + HEAD_SIZE <= size:
            fields = _unpack(chunk, at)
            magic, crc, body, _, count, _, first, *_ = fields
            end = at + HEAD_SIZE + body
            if first != expected or magic != MAGIC or end > size or not count:
                break
            if crc32c(view[at + 8 : end], seed ^ (offset + at)) != crc:
                break
            heads.append(BatchHead._make(fields))
            expected, at = expected + count, end
        return heads

    def _open(self, cipher: Cipher, view: memoryview, at: int, end: int) -> bytes:
        context = digest(self.salt + view[at + 8 : at + HEAD_SIZE])
        try:
            return cipher.open(bytes(view[at + HEAD_SIZE : end]), context=context, block_size=self.block_size)
        except DecryptionError:
            return b""


def read_batch_head(chunk: bytes | memoryview, at: int = 0) -> BatchHead | None:
    """The header at *at* in *chunk*; None if there is none, or its numbers contradict each other."""
    if len(chunk) - at < HEAD_SIZE:
        return None
    head = BatchHead._make(_unpack(chunk, at))
    return head if head.magic == MAGIC and head.events and (head.flags & RUN or head.table >= 4 * head.events) else None


_Table = tuple["array[int]", tuple[bytes, ...], "bytes | array[int]", tuple[tuple[int, int], ...]]


def _pack_table(batch: Batch) -> bytes:
    subjects = batch.subjects
    if len(subjects) == 1 and not batch.client_ids and not batch.expires:
        subject = subjects[0]
        return b"".join((batch.lengths.tobytes(), len(subject).to_bytes(2, "little"), subject))
    if not 0 < len(subjects) <= MAX_SUBJECTS:
        raise ValueError(f"a batch of {len(subjects)} subjects can't be stored, cut it into smaller ones")
    names = array("H", map(len, subjects)).tobytes() + b"".join(subjects)
    client_ids = array("Q", (number for pair in batch.client_ids for number in pair))
    expires = array("q", batch.expires)
    return b"".join((
        batch.lengths.tobytes(), names, bytes(memoryview(batch.which)), client_ids.tobytes(), expires.tobytes(),
    ))  # fmt: skip


def _unpack_table(plain: bytes, start: int, count: int, subjects: int, client_ids: int) -> _Table:
    at = start + 4 * count
    lengths = array("I", plain[start:at])
    if subjects == 1:
        end = at + 2 + plain[at] + (plain[at + 1] << 8)
        return lengths, (plain[at + 2 : end],), b"", _pairs(plain, end, client_ids) if client_ids else ()
    edges = list(accumulate(array("H", plain[at : at + 2 * subjects]), initial=at + 2 * subjects))
    names = tuple(plain[start:end] for start, end in pairwise(edges))
    end = edges[-1] + count * (1 if subjects <= 256 else 2)
    which = plain[edges[-1] : end]
    return lengths, names, which if subjects <= 256 else array("H", which), _pairs(plain, end, client_ids)


def _pairs(plain: bytes, at: int, client_ids: int) -> tuple[tuple[int, int], ...]:
    numbers = array("Q", plain[at : at + 16 * client_ids])
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))
