"""Whose certificate a client has shown: the name that rights are given to."""

from __future__ import annotations

from asyncio import BaseTransport
from collections.abc import Iterable
from typing import cast

Names = Iterable[tuple[str, str]]
"""What a certificate says of its owner, each with its kind, as `ssl.SSLSocket.getpeercert` has it."""


def certificate_name(transport: BaseTransport) -> str | None:
    """The name in the certificate that the client behind *transport* has shown and proved; None if there is none.

    It is the subject's common name, the most specific if there are several, else the first DNS name.
    """
    certificate = transport.get_extra_info("peercert") or {}
    subject = [names for part in cast(Iterable[Names], certificate.get("subject", ())) for names in part]
    common = [name for kind, name in subject if kind == "commonName"]
    dns = [name for kind, name in cast(Names, certificate.get("subjectAltName", ())) if kind == "DNS"]
    return next(iter(common[-1:] + dns), None)
