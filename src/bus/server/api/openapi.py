"""The API's description, from the file beside this module (OpenAPI 3.1)."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def read_openapi() -> bytes:
    """The OpenAPI document as JSON."""
    return files("bus.server").joinpath("openapi.json").read_bytes()
