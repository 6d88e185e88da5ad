"""What is spoken to NATS by, with ``tls://`` in ``--engine``."""

from __future__ import annotations

import ssl

from bus.config import EngineSettings
from bus.errors import ConfigError


def tls_of(settings: EngineSettings, *, wanted: bool) -> ssl.SSLContext | None:
    """The context that the files of *settings* make, None unless TLS is *wanted*. Raises `ConfigError`."""
    ca, certificate, key = settings.engine_tls_ca, settings.engine_tls_cert, settings.engine_tls_key
    if not wanted:
        if ca or certificate or key:
            raise ConfigError("--engine-tls-ca, -cert and -key are for TLS: write tls:// in --engine")
        return None
    if key and not certificate:
        raise ConfigError("--engine-tls-key needs --engine-tls-cert")
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise ConfigError(f"--engine-tls-ca: {ca} has no authorities in PEM: {error}") from None
    if certificate:
        try:
            context.load_cert_chain(certificate, key, password=_refuse_password)
        except OSError as error:
            raise ConfigError(f"--engine-tls-cert: {certificate} and its key can't be used: {error}") from None
    return context


def _refuse_password() -> str:
    """Called for an encrypted key: OpenSSL would ask for its password at the terminal, and wait."""
    raise ConfigError("--engine-tls-key: the key is encrypted: store it in clear, readable by the server alone")
