"""What a web page may ask for: the one place where requests that browsers send are let through or refused.

A browser asks whatever a page tells it to, and only hides the answer from a page of another origin. So what
changes something has to be refused here. Browsers say where a request comes from (Fetch Metadata, WHATWG Fetch):

    Origin            the page's origin: on what scripts send to others, and on what isn't a GET
    Sec-Fetch-Site    none (typed by the user), same-origin, same-site, cross-site
    Sec-Fetch-Dest    empty for scripts and EventSource; image, script, iframe, document … for what a page embeds
    Sec-Fetch-Mode    cors if the page may see an answer that allows it; no-cors, navigate

A GET changes something too if it takes part in a consumer: it is delivered events, which then wait for an
acknowledgement.
"""

from __future__ import annotations

from collections.abc import Sequence

from bus.errors import ForbiddenError
from bus.server.http.request import Head, Request

_ELSEWHERE = ("cross-site", "same-site")
SAFE_METHODS = (b"GET", b"HEAD", b"OPTIONS")
"""Those that change nothing by themselves (RFC 9110, section 9.2.1)."""


def check_page(request: Request, origins: Sequence[str], *, changes: bool) -> None:
    """Let a request pass that *changes* nothing, or whose page is of one of *origins*. Raises `ForbiddenError`.

    Whoever is no browser says nothing of pages, and passes.
    """
    head = request.head
    if not head.section.from_page or not changes:
        return
    if _is_embedded(head):
        raise ForbiddenError("a page of another origin may not embed what takes part in a consumer")
    if "*" not in origins and _is_cross_origin(head, origins):
        raise ForbiddenError(
            f"origin {(head.section.origin or 'of another site')[:80]!a} may not change anything here: "
            "name it with --cors-origins if it should"
        )


def is_own_page(head: Head) -> bool:
    """Whether it comes from a page of the server's own origin."""
    if site := head.section.header(b"sec-fetch-site"):
        return site == "same-origin"
    return bool(head.section.origin) and _is_of_host(head)


def _is_embedded(head: Head) -> bool:
    """Whether it is a GET for an image, a frame or the like of another page, whose answer nobody can use."""
    if head.method != b"GET" or head.section.header(b"sec-fetch-site") not in _ELSEWHERE:
        return False
    return (
        head.section.header(b"sec-fetch-dest") not in ("", "empty")
        or head.section.header(b"sec-fetch-mode") == "no-cors"
    )


def _is_cross_origin(head: Head, origins: Sequence[str]) -> bool:
    """Whether it comes from a page of an origin that is neither among *origins* nor the server's own.

    Whether it is its own the browser says, which knows by what scheme and name it reached the server. One that doesn't
    is taken by the name alone.
    """
    site = head.section.header(b"sec-fetch-site")
    if site or not head.section.origin:
        return site in _ELSEWHERE and head.section.origin not in origins
    return head.section.origin not in origins and not _is_of_host(head)


def _is_of_host(head: Head) -> bool:
    """Whether its page's origin has the name by which the client reached the server."""
    return head.section.origin.partition("://")[2] == head.section.header(b"host")
