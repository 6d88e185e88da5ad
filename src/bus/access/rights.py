"""Rights: what somebody may do, by the patterns of subjects and the names of durable consumers.

    publish   a subject       is taken by one of the patterns
    subscribe a pattern       whatever it takes is taken by one of the patterns
    consumers a name          is one of these, where * stands for any characters
    manage    a consumer      by its name, or because all that it reads is within the patterns

Nothing is granted that isn't named. What only several patterns together take is not taken by one of them, so a
subscription to ``orders.>`` needs a right that is as wide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from bus.overview import GrantedRights
from bus.patterns import Matcher, contains

REMEMBERED = 1024
"""Subjects for which a grant remembers whether it takes them."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Subjects that are granted, by patterns of any namespaces; make it with `Grant.of`.

    ``takes`` tells whether a subject is granted.
    """

    patterns: tuple[str, ...] = ()
    takes: Callable[[str], bool] = field(default=lambda subject: False, repr=False, compare=False)

    @classmethod
    def of(cls, patterns: Iterable[str]) -> Grant:
        """What *patterns*, which are well-formed, take together."""
        found = tuple(patterns)
        matcher = Matcher(found)
        return cls(found, lru_cache(REMEMBERED)(lambda subject: matcher.takes(subject.encode())))

    def contains(self, pattern: str) -> bool:
        """Whether every subject that *pattern* takes is granted."""
        return any(contains(granted, pattern) for granted in self.patterns)

    def reaches(self, namespace: str) -> bool:
        """Whether something of *namespace* is granted."""
        return any(pattern.partition(".")[0] == namespace for pattern in self.patterns)

    def __bool__(self) -> bool:
        return bool(self.patterns)


@dataclass(frozen=True, slots=True)
class Names:
    """Names of durable consumers that are granted; ``*`` in one stands for any characters."""

    texts: tuple[str, ...] = ()

    def takes(self, name: str) -> bool:
        """Whether *name* is granted."""
        return any(_glob(text).fullmatch(name) for text in self.texts)

    def __bool__(self) -> bool:
        return bool(self.texts)


def _glob(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, text.split("*"))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What somebody may do; with ``admin`` everything.

    ``may_publish`` tells whether events may be published to a subject; it is found once, for it is asked of each event.
    """

    publish: Grant = Grant()
    subscribe: Grant = Grant()
    consumers: Names = Names()
    manage: Grant = Grant()
    manage_consumers: Names = Names()
    reply: bool = False
    metrics: bool = False
    admin: bool = False
    may_publish: Callable[[str], bool] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "may_publish", _always if self.admin else self.publish.takes)

    def may_subscribe(self, pattern: str) -> bool:
        """Whether everything that *pattern* takes may be read."""
        return self.admin or self.subscribe.contains(pattern)

    def may_consume(self, consumer: str) -> bool:
        """Whether the durable consumer of this name may be used, and its deliveries settled."""
        return self.admin or self.consumers.takes(consumer)

    def may_manage(self, consumer: str, patterns: Iterable[str] | None = None) -> bool:
        """Whether a durable consumer may be managed, by its name or by the *patterns* it reads, if they are known."""
        if self.admin or self.manage_consumers.takes(consumer):
            return True
        return patterns is not None and all(map(self.manage.contains, patterns))

    def may_manage_events(self, subject: str) -> bool:
        """Whether what is scheduled for *subject* may be seen, changed and cancelled."""
        return self.admin or self.manage.takes(subject)

    def may_delete(self, pattern: str) -> bool:
        """Whether everything that *pattern* takes may be deleted."""
        return self.admin or self.manage.contains(pattern)

    def may_manage_namespace(self, name: str) -> bool:
        """Whether the namespace *name*, and all that is in it, may be made, changed and deleted."""
        return self.admin or self.manage.contains(f"{name}.>")

    def may_see(self, consumer: str, patterns: Iterable[str] | None = None) -> bool:
        """Whether one may look at a durable consumer: whoever may use it or manage it."""
        return self.may_consume(consumer) or self.may_manage(consumer, patterns)

    def may_know(self, namespace: str) -> bool:
        """Whether one may know of *namespace*: whoever may do something with events in it."""
        return self.admin or any(grant.reaches(namespace) for grant in (self.publish, self.subscribe, self.manage))

    @property
    def has_something(self) -> bool:
        """Whether one may do anything with events or consumers."""
        return self.admin or any((self.publish, self.subscribe, self.consumers, self.manage, self.manage_consumers))

    @property
    def granted(self) -> GrantedRights:
        """What is granted, as whoever has it is told."""
        return GrantedRights(
            admin=self.admin,
            publish=list(self.publish.patterns),
            subscribe=list(self.subscribe.patterns),
            consumers=list(self.consumers.texts),
            manage=[*self.manage_consumers.texts, *self.manage.patterns],
            reply=self.may_reply,
            metrics=self.may_measure,
        )

    @property
    def may_reply(self) -> bool:
        """Whether one may answer what one was delivered."""
        return self.admin or self.reply

    @property
    def may_request(self) -> bool:
        """Whether one may have an inbox: whoever may publish something that is answered there."""
        return self.admin or bool(self.publish)

    @property
    def may_measure(self) -> bool:
        """Whether one may read the metrics."""
        return self.admin or self.metrics


def _always(subject: str) -> bool:
    return True


EVERYTHING = Rights(admin=True)
"""What everybody may where there is no token file."""
