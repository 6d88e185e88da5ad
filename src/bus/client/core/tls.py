"""TLS of a client: whom it trusts, and the certificate that it shows.

Nothing of it is loaded before a server is reached by ``https``, because most are reached in the clear.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bus.client.core.request import Endpoint
from bus.client.core.retry import os_reason
from bus.errors import InvalidParameterError

if TYPE_CHECKING:
    from ssl import SSLContext

File = str | os.PathLike[str]


def make_tls(
    endpoint: Endpoint,
    *,
    tls: SSLContext | None = None,
    ca: File | None = None,
    cert: File | tuple[File, File] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> SSLContext | None:
    """What connections to *endpoint* are encrypted by, None if they aren't.

    *ca* is a file of the authorities that are trusted instead of the system's, else that in ``BUS_CA_FILE``; *cert* a
    file of the certificate to show and its key, or one of each, else those in ``BUS_CERT_FILE`` and ``BUS_KEY_FILE``.
    *tls* is for those who make it themselves.

    Raises `InvalidParameterError` for *tls* beside others, and for files that can't be used.
    """
    if tls and (ca or cert):
        raise InvalidParameterError("tls and ca or cert don't go together: load the files into the context")
    if tls or not endpoint.secure:
        return tls if endpoint.secure else None
    shown = cert or environ.get("BUS_CERT_FILE") or None
    files = shown if isinstance(shown, tuple) else (shown, None if cert else environ.get("BUS_KEY_FILE") or None)
    return _make_context(ca or environ.get("BUS_CA_FILE") or None, *files)


def _make_context(ca: File | None, certificate: File | None, key: File | None) -> SSLContext:
    from ssl import SSLError, create_default_context

    for file in (ca, certificate, key):
        _check_readable(file)
    try:
        context = create_default_context(cafile=ca)
    except SSLError as error:
        raise InvalidParameterError(
            f"{os.fspath(ca or '')} holds no certificates of authorities: {os_reason(error)}"
        ) from None
    try:
        if certificate:
            context.load_cert_chain(certificate, key, password=_refuse_password)
    except SSLError as error:
        reason = os_reason(error) if error.reason else "its certificate or its key is missing"
        raise InvalidParameterError(f"{_names(certificate, key)} can't be shown to servers: {reason}") from None
    return context


def _check_readable(file: File | None) -> None:
    """OpenSSL doesn't tell which file it can't read."""
    try:
        if file:
            with open(file, "rb"):  # noqa: PTH123  (it may be any path)
                pass
    except OSError as error:
        raise InvalidParameterError(f"{os.fspath(file or '')} can't be read: {error.strerror}") from None


def _refuse_password() -> str:
    raise InvalidParameterError(
        "the key of the certificate to show is encrypted: store it in clear, or give an SSLContext"
    )


def _names(*files: File | None) -> str:
    return " and ".join(os.fspath(file) for file in files if file)
