"""What each need takes at least: the gate refuses whoever has no right of that kind, before anything is looked at.

Which subjects, patterns and consumers a right is about, `Permits` decides, where they have been read. A route that
forgets to ask it is open to few.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bus.access.principal import Principal
from bus.access.rights import Rights
from bus.server.api.authentication import refusal
from bus.server.api.route import Need

_LEAST: Mapping[Need, tuple[str, Callable[[Rights], bool]]] = {
    Need.METRICS: ("read the metrics", lambda rights: rights.may_measure),
    Need.INSPECT: ("look at this", lambda rights: rights.has_something),
    Need.WATCH: ("look at this", lambda rights: rights.has_something or rights.may_measure),
    Need.SUBSCRIBE: ("subscribe", lambda rights: bool(rights.subscribe) or rights.may_request),
    Need.CONSUME: ("subscribe", lambda rights: bool(rights.subscribe)),
    Need.ACKNOWLEDGE: ("acknowledge", lambda rights: bool(rights.subscribe or rights.consumers)),
    Need.PUBLISH: ("publish", lambda rights: bool(rights.publish) or rights.reply),
    Need.SIGN_IN: ("sign in", lambda rights: True),
    Need.MANAGE: ("manage this", lambda rights: bool(rights.manage or rights.manage_consumers)),
}
"""What is done, in words, and whether rights hold anything of that kind."""


def check_need(principal: Principal, need: Need) -> None:
    """Raise `ForbiddenError` or `UnauthorizedError` unless *principal* has a right of the kind that *need* is."""
    what, has_some = _LEAST[need]
    if not (principal.rights.admin or has_some(principal.rights)):
        raise refusal(principal, what, "it has no right of that kind")
