"""What things are called in JetStream.

    namespace orders        stream   bus_<prefix>_orders
    subject orders.created  subject  <prefix>.orders.created
    orders._dead_.billing   subject  <prefix>._dead_.orders.billing   so that no wildcard takes it, as in Bus
    durable consumers       stream   bus_<prefix>__meta               what holds of them, see `records`
    events sent back        stream   bus_<prefix>__redrive
    between Bus servers     subject  <prefix>._bus_.<what>.…      nobody stores these

Subjects are global in an account of NATS: the prefix, which is the path of the engine's URL, keeps apart those who
share one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bus.errors import ConfigError
from bus.patterns import DEAD_SEGMENT

DEFAULT_PREFIX = "bus"

_is_prefix = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII).fullmatch
"""Without ``_``, which separates it from the name of a namespace."""


@dataclass(frozen=True, slots=True)
class Naming:
    """The names below *prefix*."""

    prefix: str

    @classmethod
    def of(cls, path: str) -> Naming:
        """Those of a URL with this *path*. Raises `ConfigError` if it can't be part of a subject."""
        prefix = path.strip("/") or DEFAULT_PREFIX
        if not _is_prefix(prefix):
            raise ConfigError(f"--engine: the path {prefix[:80]!a} can't begin subjects: use letters, digits and '-'")
        return cls(prefix)

    def stream(self, namespace: str) -> str:
        """The stream of a namespace."""
        return f"bus_{self.prefix}_{namespace}"

    def subject(self, subject: str) -> str:
        """Where what is published to *subject*, which may be a pattern, is stored."""
        namespace, _, rest = subject.partition(f".{DEAD_SEGMENT}.")
        if rest and "." not in namespace:
            return f"{self.prefix}.{DEAD_SEGMENT}.{namespace}.{rest}"
        return f"{self.prefix}.{subject}"

    def everything(self, namespace: str) -> tuple[str, ...]:
        """All subjects of a namespace."""
        return f"{self.prefix}.{namespace}.>", f"{self.prefix}.{DEAD_SEGMENT}.{namespace}.>"

    def original(self, stored: str) -> str:
        """The subject that is *stored* under this name."""
        subject = stored[len(self.prefix) + 1 :]
        if not subject.startswith(f"{DEAD_SEGMENT}."):
            return subject
        dead, namespace, rest = subject.split(".", 2)
        return f"{namespace}.{dead}.{rest}"

    @property
    def meta(self) -> str:
        """The stream of what holds of durable consumers."""
        return f"bus_{self.prefix}__meta"

    def record(self, what: str, *names: str) -> str:
        """A subject of that stream."""
        return ".".join((self.prefix, "_meta_", what, *names))

    @property
    def redrives(self) -> str:
        """The stream of what is sent back to durable consumers."""
        return f"bus_{self.prefix}__redrive"

    def redrive(self, consumer: str) -> str:
        """Where what is sent back to a durable consumer waits."""
        return f"{self.prefix}._redrive_.{consumer}"

    def between_servers(self, what: str, *names: str) -> str:
        """A subject by which Bus servers tell each other something."""
        return ".".join((self.prefix, "_bus_", what, *names))
