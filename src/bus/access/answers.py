"""Answers to whether a principal may do something, in words: yes, or what is missing."""

from __future__ import annotations

from bus.access.principal import Principal
from bus.errors import InvalidParameterError
from bus.subject import Pattern, parse_subject

RIGHTS = ("publish", "subscribe", "consumers", "manage", "reply", "metrics", "admin")
"""The rights there are, as token files have them."""

_ABOUT_SOMETHING = RIGHTS[:4]


def answer(principal: Principal, right: str, subject: str, *, now: int) -> str:
    """Why *principal* may not at *now* (ns), empty if it may.

    *subject* is a subject for ``publish``, a pattern for ``subscribe``, a consumer's name for ``consumers``, one or a
    pattern for ``manage``. Raises `InvalidSubjectError` or `InvalidParameterError` if it is none.
    """
    if (right in _ABOUT_SOMETHING) != bool(subject):
        raise InvalidParameterError(f"{right} takes nothing more" if subject else f"{right} needs what it is about")
    if principal.has_expired(now):
        return f"no: {principal} has expired"
    return "" if _may(principal, right, subject) else f"no: {principal} has no {right} that covers {subject or 'this'}"


def _may(principal: Principal, right: str, subject: str) -> bool:
    rights = principal.rights
    match right:
        case "publish":
            parse_subject(subject)
            return rights.may_publish(subject)
        case "subscribe":
            return rights.may_subscribe(Pattern.parse(subject).text)
        case "consumers":
            return rights.may_consume(subject)
        case "manage":
            patterns = [Pattern.parse(subject).text] if "." in subject else None
            return rights.may_manage(subject, patterns)
        case "reply":
            return rights.may_reply
        case "metrics":
            return rights.may_measure
        case _:
            return rights.admin
