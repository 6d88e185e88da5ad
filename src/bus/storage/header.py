"""The header that opens every segment.

              0               8     10    12      16              24
              +---------------+-----+-----+-------+---------------+------- - - ------+
              | magic         | ver | flg | block | base          | salt             |   40 bytes
              | "bus.log\\n"   | u16 | u16 | u32   | u64           | 16 random bytes  |
              +---------------+-----+-----+-------+---------------+------- - - ------+
              40
              +---------------------------------------- - - ----------+-------+
              | box: the 40 bytes above, encrypted; zeros if plain       | crc   |   108 bytes
              | 104 = nonce 24 + MAC 16 + place 24 + 40               | u32   |
              +---------------------------------------- - - ----------+-------+

* ``ver`` stands in the same place in every version, so an unknown one is refused by name. It is 2 where runs of deleted
  events are batches of their own (``batch_codec.py``), else 1.
* ``flg``: bit 0, the bodies of this segment are encrypted; ``block`` is then their block size, else 0.
* ``base``: index of the first event, the same as in the file's name.
* ``salt``: makes the checksums and tags of this segment unlike those of any other.
* ``box``: only the right key opens it, so a wrong one is noticed before anything is read or written.
* ``crc``: CRC-32C of all before it.

The header stands there twice: without the salt nothing in the file can be checked, and a single flipped
bit should not cost a segment. The batches begin behind the second copy, at offset 296.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from struct import Struct

from crc32c import crc32c

from bus.errors import LogVersionError, WrongKeyError
from bus.storage.batch_codec import BatchCodec
from bus.storage.cipher import Cipher, DecryptionError, digest, encrypted_size

LOG_VERSION = 2
"""What can be read; a log has segments of both versions."""

PLAIN_VERSION = 1
"""Of segments in which each deleted event has its place in a table, as Bus 0.1 reads them."""

LOG_SUFFIX = ".log"
ENCRYPTED = 1
_MAGIC = b"bus.log\n"
_CLEAR = Struct("<8sHHIQ16s")
_BOX = encrypted_size(_CLEAR.size, _CLEAR.size)
_COPY = _CLEAR.size + _BOX + 4
HEADER_SIZE = 2 * _COPY


@dataclass(frozen=True, slots=True)
class Header:
    """What a segment says about itself.

    Parameters:
        base: index of the segment's first event.
        salt: 16 random bytes.
        block_size: plaintext bytes of an encrypted block; 0 if the segment is plain.
        box: proof of the key; zeros if the segment is plain.
        version: of its format.
    """

    base: int
    salt: bytes
    block_size: int
    box: bytes
    version: int

    @classmethod
    def new(cls, base: int, cipher: Cipher | None, *, version: int = PLAIN_VERSION) -> Header:
        """The header of a segment that begins with the event *base*."""
        plain = cls(base, os.urandom(16), cipher.block_size if cipher else 0, bytes(_BOX), version)
        return replace(plain, box=plain._encrypt(cipher)) if cipher else plain

    @property
    def encrypted(self) -> bool:
        """Whether the bodies are encrypted."""
        return self.block_size > 0

    @property
    def has_runs(self) -> bool:
        """Whether runs of deleted events are batches of their own."""
        return self.version > PLAIN_VERSION

    def encode(self) -> bytes:
        """Both copies, as they stand at the start of the file."""
        copy = self._clear() + self.box
        return 2 * (copy + crc32c(copy).to_bytes(4, "little"))

    def codec(self, path: Path, cipher: Cipher | None) -> BatchCodec:
        """What reads and writes this segment's batches; WrongKeyError if *cipher* isn't the one."""
        if cipher is None and self.encrypted:
            raise WrongKeyError(f"{path} is encrypted: give the secret key it was written with")
        if cipher is not None:
            self._prove(path, cipher)
        seed = crc32c(self.salt + self.base.to_bytes(8, "little"))
        return BatchCodec(self.salt, seed, cipher, self.block_size, self.has_runs)

    def _prove(self, path: Path, cipher: Cipher) -> None:
        if not self.encrypted:
            raise WrongKeyError(f"{path} is not encrypted, but a secret key was given: start without the key")
        clear = self._clear()
        try:
            cipher.open(self.box, context=digest(clear), block_size=len(clear))
        except DecryptionError:
            raise WrongKeyError(f"{path} was encrypted with another secret key: give that one") from None

    def _encrypt(self, cipher: Cipher) -> bytes:
        clear = self._clear()
        return cipher.encrypt(clear, context=digest(clear), block_size=len(clear))

    def _clear(self) -> bytes:
        return _CLEAR.pack(
            _MAGIC, self.version, ENCRYPTED if self.encrypted else 0, self.block_size, self.base, self.salt
        )  # fmt: skip


def read_header(path: Path, start: bytes) -> Header | None:
    """The header in *start*, the first ``HEADER_SIZE`` bytes of the file *path*.

    Returns:
        The header, from the first copy that is intact; None if neither is, or it names another base than
        the file does. LogVersionError if the segment is of another version.
    """
    header = _read_copy(start[:_COPY]) or _read_copy(start[_COPY:HEADER_SIZE])
    if header is None:
        refuse_version(path, start, _MAGIC, LOG_VERSION)
    return header if header and path == segment_path(path.parent, header.base) else None


def damaged_copies(start: bytes) -> list[int]:
    """The offsets of the copies of the header in *start* that are not intact."""
    return [at for at in (0, _COPY) if _read_copy(start[at : at + _COPY]) is None]


def segment_path(directory: Path, base: int) -> Path:
    """Where the segment that begins with the event *base* is: names sort as indexes do."""
    return directory / f"{base:020}{LOG_SUFFIX}"


def segment_bases(names: list[str], suffix: str = LOG_SUFFIX) -> list[int]:
    """The bases of the segments among the *names* of a directory, or of the sidecars, in their order."""
    stems = (name.removesuffix(suffix) for name in names if name.endswith(suffix))
    return sorted(int(stem) for stem in stems if len(stem) == 20 and stem.isdecimal())


def refuse_version(path: Path, start: bytes, magic: bytes, known: int) -> None:
    """LogVersionError if *start* has the right magic and a version above *known*, or none."""
    version = int.from_bytes(start[8:10], "little")
    if start[:8] == magic and len(start) >= 10 and not 1 <= version <= known:
        raise LogVersionError(f"{path} is of version {version}, this Bus reads versions up to {known}: use another Bus")


def _read_copy(copy: bytes) -> Header | None:
    if len(copy) != _COPY or crc32c(copy[:-4]) != int.from_bytes(copy[-4:], "little"):
        return None
    magic, version, flags, block_size, base, salt = _CLEAR.unpack_from(copy)
    if magic != _MAGIC or not 1 <= version <= LOG_VERSION or bool(flags & ENCRYPTED) != (block_size > 0):
        return None
    return Header(base, salt, block_size, copy[_CLEAR.size : -4], version)
