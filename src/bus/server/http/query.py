"""Query strings: parameters by name, and which of them an address knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import unquote_plus

from bus.errors import InvalidParameterError
from bus.event import id_fault, is_id
from bus.suggest import suggest

Query = Mapping[str, Sequence[str]]
"""The values of each parameter, in order; none is empty."""


def parse_query(raw: bytes) -> Query:
    """The parameters of a query string; one without a value is as good as left out.

    Raises `InvalidParameterError` if it isn't UTF-8.
    """
    found: dict[str, list[str]] = {}
    try:
        for part in raw.decode().split("&"):
            name, _, value = part.partition("=")
            if "%" in part or "+" in part:
                name, value = unquote_plus(name, errors="strict"), unquote_plus(value, errors="strict")
            if name and value:
                found.setdefault(name, []).append(value)
    except UnicodeDecodeError:
        raise InvalidParameterError("the query is not UTF-8: percent-encode it") from None
    return found


def read_id(text: str, name: str) -> str:
    """An id given in the parameter or header *name*. Raises `InvalidParameterError`."""
    if not is_id(text):
        raise InvalidParameterError(id_fault(text, name) if text else f"{name} is required")
    return text


def read_flag(text: str, name: str, *, default: bool = False) -> bool:
    """Whether the parameter *name* says yes; *default* if it isn't given. Raises `InvalidParameterError`."""
    known = {"": default, "true": True, "1": True, "false": False, "0": False}
    if text.lower() not in known:
        raise InvalidParameterError(f"{name} {text[:80]!a} is not true or false")
    return known[text.lower()]


def check_parameters(query: Query, *, once: tuple[str, ...], repeated: tuple[str, ...]) -> None:
    """Raise `InvalidParameterError` if *query* has others than these, or one of *once* several times.

    A slip of the pen would otherwise mean the default: ``strat=oldest`` is not ``start=newest``.
    """
    for name, values in query.items():
        if name in repeated:
            continue
        if name not in once:
            known = repeated + once
            hint = suggest(name, known) if known else "this address takes none"
            raise InvalidParameterError(f"parameter {name[:80]!a} is not known here: {hint}")
        if len(values) > 1:
            raise InvalidParameterError(f"parameter {name} is given {len(values)} times: give it once")
