"""Names that somebody wrote and nobody knows: which one was meant."""

from __future__ import annotations

from functools import lru_cache

LONGEST = 32
"""Characters of a name that are looked at: no name of ours is longer."""

_LEAST_LIKENESS = 0.6


def suggest(name: str, known: tuple[str, ...]) -> str:
    """What to do about *name*: the nearest of *known*, else all of them, of which there has to be one.

    Comparing letter by letter is dear, and somebody may send thousands of wrong names: only the known one that looks
    most like it at a glance is compared so.
    """
    return _suggest(name[:LONGEST].lower(), known)


@lru_cache(256)
def _suggest(name: str, known: tuple[str, ...]) -> str:
    from difflib import SequenceMatcher  # loaded late: most programs never need it

    near = max(known, key=lambda word: _glance(name, word))
    alike = SequenceMatcher(None, name, near).ratio() >= _LEAST_LIKENESS
    return f"did you mean {near}?" if alike else f"known are {', '.join(known)}"


def _glance(name: str, word: str) -> float:
    """How much two names are alike by the letters they have and by how they begin."""
    letters, others = set(name), set(word)
    beginning = len(name) if word.startswith(name) else 0
    return len(letters & others) / len(letters | others) + beginning / len(word)
