"""Whose certificate a client has shown: the name that rights are given to."""

from __future__ import annotations

from asyncio import BaseTransport
from collections.abc import Iterable
from typing import cast

Names = Iterable[tuple[str, str]]
"""What a certificate says of its owner, each with its kind, as `ssl.SSLSocket.getpeercert` has it."""


def certificate_name(transport: BaseTransport) -> str | None:
    """The name in the certificate that the client behind *transport* has shown and proved; None if there is none.

    It is the first DNS name, else the first URI, else the first mail address, else the subject's common name, the most
    specific if there are several: what stands in the subject is only a description where there are other names
    (RFC 9525, section 2).
    """
    certificate = transport.get_extra_info("peercert") or {}
    names = list(cast(Names, certificate.get("subjectAltName", ())))
    ranked = [name for wanted in ("DNS", "URI", "email") for kind, name in names if kind == wanted]
    subject = [part for parts in cast(Iterable[Names], certificate.get("subject", ())) for part in parts]
    common = [name for kind, name in subject if kind == "commonName"]
    return next(iter(ranked + common[-1:]), None)
