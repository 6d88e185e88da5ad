"""Bodies that are JSON objects: read as what they are to be, or refused with what is wrong with them."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from bus.errors import InvalidParameterError
from bus.suggest import suggest

_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(.*?)`", re.DOTALL)

_Body = TypeVar("_Body", bound=msgspec.Struct)


def decode_body(body: bytes, kind: type[_Body]) -> _Body:
    """*body* as *kind*. Raises `InvalidParameterError`."""
    if not body.strip():
        raise InvalidParameterError(f"the body is empty: send JSON with {', '.join(kind.__struct_fields__)}")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidParameterError(_fault(error, kind)) from None


def _fault(error: Exception, kind: type[msgspec.Struct]) -> str:
    """What is wrong with a body that isn't of this *kind*."""
    if unknown := _UNKNOWN_FIELD.fullmatch(str(error)):
        return f"field {unknown[1][:80]!a} is not known here: {suggest(unknown[1], kind.__struct_fields__)}"
    if isinstance(error, msgspec.ValidationError):
        return f"the body is JSON, but not what goes here: {error}"
    return f"the body is not JSON: {error}"
