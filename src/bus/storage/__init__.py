"""A durable, synchronous log of bytes.

It knows batches, offsets, checksums and files, and nothing of HTTP: a subject is a key of bytes, an event
is a frame of bytes. The format is described in ``docs/format.md``; each file draws the part it reads.

     log              the segments of one directory: append, sync, roll, remove
     log_reader       what other threads may do beside the appender: read and find
     recovery         what counts when a log is opened, by numbered steps
     stored_segment   one segment as it is found on disk
     segment          one file, read and appended to
     scan             batch by batch, and on after damage
     sidecar          the index of a segment on disk
     index            the index of a segment in memory
     header           what opens a segment
     batch            the unit of append, checksum, encryption and recovery
     cipher           encryption at rest
     retention_policy how much to keep
     deletion         what deleting events does to batches
     rewriting        closed segments written anew without some events
     verify           checking every byte
     damage           what can be wrong, as values
     files            the seam to the disk
     memory           a file system in memory
"""

from bus.storage.batch import Batch
from bus.storage.cipher import Cipher
from bus.storage.damage import Damage, DamagedLogError, Torn
from bus.storage.files import DISK, DiskFiles, File, FileSystem
from bus.storage.log import Log
from bus.storage.log_reader import OutOfLogError
from bus.storage.memory import MemoryFiles
from bus.storage.retention_policy import RetentionPolicy
from bus.storage.segment import SegmentInfo
from bus.storage.verify import CheckedSegment, verify

__all__ = [
    "DISK",
    "Batch",
    "CheckedSegment",
    "Cipher",
    "Damage",
    "DamagedLogError",
    "DiskFiles",
    "File",
    "FileSystem",
    "Log",
    "MemoryFiles",
    "OutOfLogError",
    "RetentionPolicy",
    "SegmentInfo",
    "Torn",
    "verify",
]
