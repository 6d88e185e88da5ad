"""What the dashboard may change where nobody says who they are: nothing, for those who look at it from elsewhere.

Without a token file everybody may do everything, which is meant for programs of one machine or one network. A page in a
browser is another matter: whoever passes by finds a button for what took a program before. So what a page of the
server's own origin changes takes a token, unless it is open on the server's own machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from bus.errors import ForbiddenError
from bus.server.http.client_address import ClientAddresses
from bus.server.http.cross_origin import is_own_page
from bus.server.http.request import Request
from bus.server.http.responder import Responder

READ_ONLY = (
    "the server's own pages are read-only from another machine as long as nobody signs in: "
    "start it with --auth FILE to say who may do what"
)


class PageWrites:
    """Refuses changes by pages of the server's own origin to whom *clients* place on another machine.

    A page whose origin is named in *origins* was let in by whoever runs the server.
    """

    def __init__(self, clients: ClientAddresses, origins: Sequence[str]) -> None:
        self._clients = clients
        self._origins = frozenset(origins)
        self._hosts = frozenset(origin.partition("://")[2] for origin in origins)

    def refused(self, request: Request, responder: Responder) -> str:
        """Why the server's own pages change nothing for the one who sends *request*, in a line; empty if they may."""
        head = request.head
        if head.section.origin in self._origins or head.section.header(b"host") in self._hosts:
            return ""
        client = self._clients.of(responder.connection, head)
        return READ_ONLY if client and not ip_address(client).is_loopback else ""

    def check(self, request: Request, responder: Responder) -> None:
        """Raise `ForbiddenError` for *request*, which would change something, if it may not."""
        if is_own_page(request.head) and (why := self.refused(request, responder)):
            raise ForbiddenError(why)

    def __repr__(self) -> str:
        return "<PageWrites>"
