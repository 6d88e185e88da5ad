"""The files of the dashboard, as they are sent: read from the package once each, and packed once.

They are asked for by the names that are there, so that no path of a request is ever joined to one of a disk. In our own
scripts and styles, lines of nothing but a comment are a tenth of it all, and for those who read the source: empty ones
are sent in place of them, so that a browser's line numbers are the source's.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

START = "index.html"
"""The page itself, which loads the others."""

_COMMENT_LINES = {
    "js": re.compile(rb"^ *(?://|/\*\*).*$", re.MULTILINE),
    "css": re.compile(rb"^ */\*.*\*/$", re.MULTILINE),
}

_MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file: its bytes, the same packed by gzip, and a tag that changes with them (RFC 9110, section 8.8.3)."""

    media_type: str
    tag: str
    content: bytes = field(repr=False)
    packed: bytes = field(repr=False)


@cache
def read_page_file(name: str) -> PageFile | None:
    """The file of this name, such as ``views/events.js``; None if there is none."""
    source = _sources().get(name)
    if source is None:
        return None
    content = _without_comments(name, source.read_bytes())
    return PageFile(
        _MEDIA_TYPES[name.rpartition(".")[2]],
        f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        content,
        gzip.compress(content, mtime=0),
    )


def page_file_names() -> list[str]:
    """The names of all files."""
    return sorted(_sources())


def _without_comments(name: str, content: bytes) -> bytes:
    comment_line = _COMMENT_LINES.get(name.rpartition(".")[2])
    own = not name.startswith("vendor/")
    return comment_line.sub(b"", content) if own and comment_line else content


@cache
def _sources() -> Mapping[str, Traversable]:
    return dict(_walk(files("bus.ui").joinpath("page"), ""))


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    """What is in *folder* and in those below it, of the kinds that are served."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif entry.name.rpartition(".")[2] in _MEDIA_TYPES:
            yield f"{prefix}{entry.name}", entry
