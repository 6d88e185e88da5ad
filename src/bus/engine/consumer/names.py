"""The names of durable consumers, and what is said of those that there aren't or can't be."""

from __future__ import annotations

import re

from bus.errors import InvalidParameterError, TooManyConsumersError, UnknownConsumerError

_is_name = re.compile(r"[\w-]{1,128}").fullmatch


def check_name(name: str) -> None:
    """Raises `InvalidParameterError` if no consumer can be called so."""
    if not _is_name(name):
        raise InvalidParameterError(f"consumer {name[:80]!a} is malformed: 1 to 128 letters, digits, '_' or '-'")


def unknown_consumer(name: str) -> UnknownConsumerError:
    """The error for a name that no consumer has."""
    return UnknownConsumerError(f"consumer {name[:80]!a} doesn't exist: see /v1/consumers")


def too_many(most: int) -> TooManyConsumersError:
    """The error for one more consumer than there may be."""
    return TooManyConsumersError(
        f"the server keeps {most} durable consumers already: delete one that isn't needed, or raise --max-consumers"
    )
