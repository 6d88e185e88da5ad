"""Writes what the blocking client has in common with the asyncio one: ``make generate``; ``--check`` compares.

The modules in `MODULES` are the same but for ``async``, ``await`` and names. `WORDS` turns one into the other,
`TEXTS` are the passages in which the two differ for their callers. Each of those has to be found once, so that
none is forgotten when its source changes.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLIENT = ROOT / "src" / "bus" / "client"
RUFF = str(Path(sys.executable).with_name("ruff"))

MODULES = (
    "client",
    "consumers",
    "delivery",
    "handling",
    "namespaces",
    "schedules",
    "stored_events",
    "tracing",
    "watch",
    "worker",
)

WORDS = (
    (r"^# ruff: noqa: ASYNC.*\n", ""),
    (r"\b[Aa]sync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bAwaitable\[(\w+)\]", r"\1"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"\b__a(enter|exit|iter|next)__\b", r"__\1__"),
    (r"\ban(ext|iter)\(", lambda found: {"ext": "next(", "iter": "iter("}[found[1]]),
    (r"\b([Aa])n (`?)Async(?=[A-Z])", r"\1 \2"),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\bbus\.client\.aio\b", "bus.client.blocking"),
)

TEXTS: dict[str, tuple[tuple[str, str], ...]] = {
    "consumers": (),
    "namespaces": (),
    "schedules": (),
    "stored_events": (
        (
            "            for event in page.events:\n                yield event\n",
            "            yield from page.events\n",
        ),
    ),
    "client": (
        ("programs with an asyncio event loop", "programs without an event loop"),
        ("A Bus server, seen from one event loop.", "A Bus server, to be shared by any number of threads."),
        (
            """\
    Concurrent puts travel together, each with its own receipt, and are stored in the order of the calls. It
    connects when first used; close it, or use it in an ``async with`` block.
""",
            """\
    It connects when first used and keeps idle connections; close it, or use it in a ``with`` block.
""",
        ),
        (
            "        max_connections: requests and confirmed puts that wait for their answers at once; others queue.\n",
            "",
        ),
        ("        max_connections: int = 64,\n", ""),
        (", max_connections=max_connections", ""),
        ("        Cancelling it leaves open whether the event is stored, and other puts undisturbed.\n", ""),
        (
            """\
        It raises what `put` does for a batch. What hinders one of several independent events is in its place in
        the list, even that the server can't be reached.
""",
            """\
        It raises what `put` does; for independent events only if none of them could be sent.
""",
        ),
        (
            """\
            timeout: seconds it may take in all; by default the client's.

        Returns:
            The receipt of the last event of a batch;""",
            """\
            timeout: seconds it may take in all, for independent events each request of up to 1,000 of them;
                by default the client's.

        Returns:
            The receipt of the last event of a batch;""",
        ),
        (
            """\
        The subscription begins with ``async with client.get(…) as events:``, or with the first event that
        ``async for`` asks for; that is where it raises what refuses it. From then on it reconnects by itself.
""",
            """\
        The subscription stands when this returns, and from then on reconnects by itself.
""",
        ),
        (
            "Send the puts and acknowledgements that have gathered, end every subscription, close every connection.",
            "End every subscription and close every connection.",
        ),
    ),
    "delivery": (("a program with an event loop", "a program with threads"),),
    "handling": (("called with each event and awaited;", "called with each event;"),),
    "tracing": (
        ("        max_connections: int,\n", ""),
        (", max_connections=max_connections", ""),
    ),
    "watch": (
        ("on an event loop", "from a blocking socket"),
        ("One task may iterate it.", "It is to be iterated by one thread, and may be\n    closed from any."),
        ("May be called more than once.", "May be called from any thread, and more than once."),
    ),
    "worker": (
        ("several at once, each in a task.", "several at once, each in a thread."),
        ("    Cancelling `run` cancels what is running; those events go to others at once.\n", ""),
        ("Call it on the worker's loop.", "May be called from any thread and in a signal handler."),
    ),
}

EVERYWHERE = (("a coroutine function, called with each event", "called with each event"),)


def generate(name: str) -> str:
    """The blocking module *name*, made of the asyncio one."""
    text = (CLIENT / "aio" / f"{name}.py").read_text()
    for here, there in TEXTS[name]:
        if text.count(here) != 1:
            raise SystemExit(f"aio/{name}.py has this {text.count(here)} times, not once: {here!r}")
        text = text.replace(here, there)
    for here, there in EVERYWHERE:
        text = text.replace(here, there)
    for pattern, written in WORDS:
        text = re.sub(pattern, written, text, flags=re.MULTILINE)
    title, rest = text.split("\n", 1)
    return _tidied(f"{title}\n# Generated from bus/client/aio/{name}.py by `make generate`: change that one.\n{rest}")


def _tidied(text: str) -> str:
    """Imports in order and none too many, lines as long as they may be."""
    for command in (["check", "--quiet", "--fix", "--select", "I,F401"], ["format", "--quiet"]):
        run = [RUFF, *command, "--stdin-filename", str(CLIENT / "blocking" / "generated.py"), "-"]
        text = subprocess.run(run, input=text, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return text


def main() -> int:
    """Write the modules, or say which of them aren't what would be written."""
    stale = []
    for name in MODULES:
        home, text = CLIENT / "blocking" / f"{name}.py", generate(name)
        if home.exists() and home.read_text() == text:
            continue
        stale.append(str(home.relative_to(ROOT)))
        if "--check" not in sys.argv:
            home.write_text(text)
    if stale and "--check" in sys.argv:
        print(f"not what the asyncio client makes of them, run `make generate`: {', '.join(stale)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
