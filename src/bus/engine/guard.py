"""The one guard for what nobody expects: a mistake is logged, once, and becomes an error that clients can be told.

Whoever calls on behalf of others (a request, a timer, a commit, a subscriber among many) catches everything and
asks here what to tell, so that no mistake leaves somebody without an answer or hinders somebody else.
"""

from __future__ import annotations

import logging

from bus.errors import BusError

log = logging.getLogger("bus")

MISTAKE = "a mistake of the server's; its log has the details"


def as_bus_error(error: Exception, what: str) -> BusError:
    """*error* if it is one of Bus's own; else one that admits a mistake, whose traceback goes to the log.

    What is returned is to be told, or kept until it is, and has no traceback.
    *what* failed is named there, so it must not hold a secret: a method and a path, but no query.
    """
    if isinstance(error, BusError):
        return error.without_traceback()
    log.error("%s failed by a mistake of the server's", what, exc_info=error)
    return BusError(MISTAKE)
