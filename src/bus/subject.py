"""Subjects, patterns and filters: what an event is about, and who wants to hear of it.

    subject   = namespace 1*("." segment)         orders.item.added
    pattern   = namespace 1*("." (segment / "*")) [".>"]
    segment   = 1*(letter / digit / "_" / "-")    letters and digits of any script

``*`` stands for exactly one segment, ``>`` for one or more and only at the end. The namespace of a
pattern is literal, because each namespace is a log of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from bus.errors import ConfigError, InvalidSubjectError
from bus.patterns import DEAD_SEGMENT as DEAD_SEGMENT
from bus.patterns import Matcher

INBOX_NAMESPACE: Final = "_bus_"
"""The namespace of inboxes: replies that live in memory and never touch a log."""

_INBOX_PREFIX: Final = f"{INBOX_NAMESPACE}."

is_usual_inbox: Final = re.compile(rf"{INBOX_NAMESPACE}\.[0-9A-Za-z-]{{1,128}}", re.ASCII).fullmatch
"""Whether a text is the name of an inbox as Bus and its clients make them."""

MAX_SUBJECT_BYTES: Final = 256
MAX_PATTERNS: Final = 64
_SEGMENT: Final = re.compile(r"[\w-]+")
_REMEMBERED: Final = 4096


@lru_cache(_REMEMBERED)
def parse_subject(text: str) -> tuple[str, bytes]:
    """Check a concrete subject to publish to.

    Returns its namespace and its UTF-8 bytes. Raises `InvalidSubjectError` naming the rule it breaks.
    """
    if not _is_subject(text):
        raise InvalidSubjectError(_fault(text, wildcards=False))
    namespace, _, name = text.partition(".")
    if name.partition(".")[0] == DEAD_SEGMENT:
        raise InvalidSubjectError(f"subject {text!a} is for dead letters, which Bus alone writes")
    return namespace, _within_size(text)


def _is_subject(text: str) -> bool:
    """Whether *text* is two segments or more; a third of the time that an expression takes for a long one."""
    if "." not in text or ".." in text or text[0] == "." or text[-1] == ".":
        return False
    return text.replace(".", "_").replace("-", "_").replace("_", "0").isalnum()


def is_inbox(subject: str) -> bool:
    """Whether *subject* names an inbox."""
    return subject.startswith(_INBOX_PREFIX)


def _within_size(text: str) -> bytes:
    encoded = text.encode()
    if len(encoded) > MAX_SUBJECT_BYTES:
        raise InvalidSubjectError(f"subject is {len(encoded)} bytes long: {MAX_SUBJECT_BYTES} is the most")
    return encoded


def _fault(text: str, *, wildcards: bool) -> str:
    """Say which rule *text* breaks, the most helpful one first."""
    if not text:
        return "subject is required: name one like orders.created"
    shown = ascii(text if len(text) <= 80 else text[:77] + "...")
    if "." not in text:
        return f"subject {shown} has no dot: it needs a namespace and a name, like orders.created"
    if not wildcards and any(part in ("*", ">") for part in text.split(".")):
        return f"subject {shown} has a wildcard: events are published to one subject, patterns are for reading"
    if any(not part for part in text.split(".")):
        return f"subject {shown} has an empty segment: join segments by single dots"
    if wildcards and text.partition(".")[0] in ("*", ">"):
        return f"pattern {shown} starts with a wildcard: the namespace of a pattern is literal, like orders.>"
    if wildcards and ">" in text.split(".")[:-1]:
        return f"pattern {shown} has '>' before its end: '>' can only be the last segment"
    return f"subject {shown} has a character that isn't a letter, a digit, '_' or '-'"


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern of a subscription; make it with `Pattern.parse`."""

    text: str
    namespace: str

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read a pattern. Raises `InvalidSubjectError` naming the rule it breaks."""
        namespace, *rest = text.split(".")
        valid = _SEGMENT.fullmatch(namespace) and rest and all(_SEGMENT.fullmatch(p) or p == "*" for p in rest[:-1])
        if not valid or not (_SEGMENT.fullmatch(rest[-1]) or rest[-1] in ("*", ">")):
            raise InvalidSubjectError(_fault(text, wildcards=True))
        _within_size(text)
        if namespace == INBOX_NAMESPACE and {"*", ">"} & set(rest):
            raise InvalidSubjectError(f"pattern {text} reads others' inboxes: name one inbox exactly")
        return cls(text, namespace)


@dataclass(frozen=True, slots=True)
class Filter:
    """The patterns of one subscription, all in one namespace. Equal filters select the same events."""

    patterns: tuple[Pattern, ...]
    _matcher: Matcher = field(repr=False, compare=False)

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Filter:
        """Read the ``subject`` parameters of a subscription, each of which may be a comma-separated list.

        Raises `InvalidSubjectError` when there is none, too many, one is wrong, or their namespaces differ.
        """
        names = sorted({part for text in texts for part in text.split(",") if part})
        if not names:
            raise InvalidSubjectError("subject is required: name a pattern like orders.* or orders.>")
        if len(names) > MAX_PATTERNS:
            raise InvalidSubjectError(f"{len(names)} patterns on one stream: {MAX_PATTERNS} is the most")
        patterns = tuple(map(Pattern.parse, names))
        if len({pattern.namespace for pattern in patterns}) > 1:
            raise InvalidSubjectError(f"patterns {', '.join(names)} are of several namespaces: a stream reads one")
        return cls(patterns, Matcher(names))

    @property
    def namespace(self) -> str:
        return self.patterns[0].namespace

    @property
    def subjects(self) -> tuple[bytes, ...]:
        """The subjects that it takes, if it names each of them; else none."""
        texts = [pattern.text for pattern in self.patterns]
        named = not any(text.endswith((".>", ".*")) or ".*." in text for text in texts)
        return tuple(text.encode() for text in texts) if named else ()

    def matches(self, subject: bytes) -> bool:
        """Whether any pattern takes *subject* (UTF-8)."""
        return self._matcher.takes(subject)

    @property
    def work(self) -> int:
        """What matching has cost so far, in steps."""
        return self._matcher.work

    def __str__(self) -> str:
        return ",".join(pattern.text for pattern in self.patterns)


def check_namespaces(names: Iterable[str]) -> tuple[str, ...]:
    """Check the namespaces a server declares, in their order, without repeats.

    Raises `ConfigError` when there is none, or one is malformed or reserved.
    """
    found = tuple(dict.fromkeys(names))
    if not found:
        raise ConfigError("no namespaces are declared: name them with --namespaces app,orders or BUS_NAMESPACES")
    for name in found:
        if name == INBOX_NAMESPACE:
            raise ConfigError(f"namespace {INBOX_NAMESPACE} is reserved for inboxes: choose another name")
        if not _SEGMENT.fullmatch(name) or len(name.encode()) > MAX_SUBJECT_BYTES - 2:
            raise ConfigError(f"namespace {name!a} is malformed: use letters, digits, '_' and '-'")
    return found
