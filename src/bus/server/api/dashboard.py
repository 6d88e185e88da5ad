"""The dashboard, over HTTP.

GET /                  for a person with a browser who asks for no subject: on to ``ui/``
GET /ui                on to ``ui/``
GET /ui/               the page
GET /ui/{folder}/{file} what it loads

Addresses are relative, so that it works behind a proxy that puts the server under another path. The page asks the
other routes as everybody does, and may there what the one who looks at it may.
"""

from __future__ import annotations

from bus.errors import NotFoundError
from bus.server.http.request import Request
from bus.server.http.responder import Responder
from bus.server.http.response import format_headers
from bus.ui.files import START, PageFile, read_page_file

_POLICY = "; ".join((
    "default-src 'none'",
    "script-src 'self'",
    "worker-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
))  # fmt: skip
"""Nothing is loaded, run or framed but what is here; nothing that is inline counts (Content Security Policy 3)."""

_ALWAYS = format_headers({
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
})  # fmt: skip

_ON_TO_PAGE = format_headers({"Location": "ui/", "Cache-Control": "no-cache", "Vary": "Accept"})


class DashboardRoutes:
    """Answers with the dashboard's files."""

    def enter(self, request: Request, responder: Responder) -> None:
        """Send a person's browser on to the page."""
        responder.respond(303, _ON_TO_PAGE)

    def show(self, request: Request, responder: Responder) -> None:
        """Answer with one file; 304 to a browser that has it. Raises `NotFoundError`."""
        name = "/".join(request.path_values.values()) or START
        file = read_page_file(name)
        if file is None:
            raise NotFoundError(f"the dashboard has no file {name[:80]!a}: it is at /ui/")
        if file.tag in request.head.section.header(b"if-none-match"):
            responder.respond(304, f"ETag: {file.tag}\r\n{_ALWAYS}")
        else:
            _send(file, request, responder)

    def __repr__(self) -> str:
        return "<DashboardRoutes>"


def _send(file: PageFile, request: Request, responder: Responder) -> None:
    packs = "gzip" in request.head.section.header(b"accept-encoding")
    coding = "Content-Encoding: gzip\r\n" if packs else ""
    headers = f"Content-Type: {file.media_type}\r\n{coding}ETag: {file.tag}\r\n{_ALWAYS}"
    responder.respond(200, headers, file.packed if packs else file.content)
