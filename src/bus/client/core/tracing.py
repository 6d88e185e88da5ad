"""Whether a client traces.

    tracing=None      with the provider that the program has set, if it has
    tracing=True      with the provider that the program has set, or will
    tracing=provider  with that one
    tracing=False     never

Who has set a provider has loaded OpenTelemetry for that. So whoever hasn't pays for nothing, not even for finding out
that it isn't installed.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import bus
from bus.client.core.request import Endpoint
from bus.errors import InvalidParameterError
from bus.tracing import MISSING, Tracing

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

_LOADED = "opentelemetry.trace"


def find_tracing(wanted: TracerProvider | bool | None, endpoint: Endpoint) -> Tracing | None:
    """The tracing of a client of *endpoint*, None if there is to be none.

    Raises `InvalidParameterError` if it is *wanted* and OpenTelemetry isn't installed.
    """
    if wanted is False or (wanted is None and not _has_provider()):
        return None
    try:
        from bus.tracing.otel import OpenTelemetryTracing
    except ImportError:
        raise InvalidParameterError(f"a client can't trace: {MISSING}") from None
    provider = None if wanted is True else wanted
    return OpenTelemetryTracing(provider, version=bus.__version__, address=endpoint.host, port=endpoint.port)


def _has_provider() -> bool:
    """Whether the program has set a provider."""
    if _LOADED not in sys.modules:
        return False
    from opentelemetry.trace import ProxyTracerProvider, get_tracer_provider

    return not isinstance(get_tracer_provider(), ProxyTracerProvider)
