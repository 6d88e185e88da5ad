"""Contexts: servers and the tokens they know one by, under names, in a file of their owner's.

    use = "prod"                          # the one in use, if any

    [contexts.prod]
    host = "https://bus.example.com"
    token_file = "/home/me/prod.token"    # or token = "bus_…"
    ca_file = "/home/me/authority.pem"    # and cert_file, key_file

Commands read it when nothing else says which server is meant. What others may read is refused, because it may hold
tokens.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from click.shell_completion import CompletionItem

from bus.cli.console import reason
from bus.cli.token_options import TokenFile
from bus.config import Secret
from bus.errors import BusError, ConfigError
from bus.suggest import suggest
from bus.transfer.server_address import TlsFiles

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

    from bus.client.core.credentials import Token

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Context(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A server, the token it knows one by, kept here or in a file, and files for TLS."""

    host: str
    token_file: str = ""
    token: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""

    @property
    def tls(self) -> TlsFiles:
        """The files for TLS."""
        return TlsFiles(*[Path(text) if text else None for text in (self.ca_file, self.cert_file, self.key_file)])

    @property
    def credential(self) -> Token:
        """What to send: the token, or what reads it from its file; empty if there is none."""
        return TokenFile(Path(self.token_file)) if self.token_file else Secret(self.token)

    def __repr__(self) -> str:
        return f"<Context {self.host}>"


class Contexts(msgspec.Struct, forbid_unknown_fields=True):
    """What the file holds; ``use`` is the name of the one in use, empty if none is."""

    use: str = ""
    contexts: dict[str, Context] = {}


class ContextFile:
    """The file at *path*, by default the user's. A file that isn't there holds nothing."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or _default_path()

    def read(self) -> Contexts:
        """Raises `ConfigError` if it can't be read, or others can read it."""
        try:
            return msgspec.convert(tomllib.loads(self._text()), Contexts)
        except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
            raise ConfigError(f"contexts in {self.path} can't be read: {error}") from None

    def get(self, name: str) -> Context:
        """The context of this *name*. Raises `ConfigError` if there is none."""
        contexts = self.read().contexts
        if name not in contexts:
            hint = suggest(name, tuple(contexts)) if contexts else "bus context add makes one"
            raise ConfigError(f"there is no context {name[:80]!a}: {hint}")
        return contexts[name]

    def find(self, name: str | None) -> Context | None:
        """The context of this *name*, or the one in use; None if none is."""
        name = name or self.read().use
        return self.get(name) if name else None

    def add(self, name: str, context: Context) -> None:
        """Keep *context*. Raises `ConfigError` if the name can't be one, or is taken."""
        if not _NAME.fullmatch(name):
            raise ConfigError(f"context {name[:80]!a} can't be: a name has letters, digits, _ and -, 64 at most")
        if name in self.read().contexts:
            raise ConfigError(f"context {name} is there already: remove it first")
        document = self._document()
        document.setdefault("contexts", _table())[name] = msgspec.to_builtins(context)
        self._write(document)

    def use(self, name: str) -> None:
        """Have commands use the context of this *name*. Raises `ConfigError` if there is none."""
        self.get(name)
        document = self._document()
        document["use"] = name
        self._write(document)

    def remove(self, name: str) -> None:
        """Forget the context of this *name*. Raises `ConfigError` if there is none."""
        self.get(name)
        document = self._document()
        del document["contexts"][name]
        if document.get("use") == name:
            del document["use"]
        self._write(document)

    def _text(self) -> str:
        try:
            with self.path.open(encoding="utf-8") as file:
                if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                    raise ConfigError(f"contexts in {self.path} are open to others: chmod 600 {self.path}")
                return file.read()
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            what = reason(error) if isinstance(error, OSError) else "it is not text"
            raise ConfigError(f"contexts in {self.path} can't be read: {what}") from None

    def _document(self) -> TOMLDocument:
        """The file with its comments, to be changed."""
        import tomlkit  # loaded late: reading does without

        return tomlkit.parse(self._text())

    def _write(self, document: TOMLDocument) -> None:
        """Put a new file in place of the old one, whole or not at all."""
        path = self.path.resolve()  # it may be a link to where somebody keeps such files
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            number, partial = tempfile.mkstemp(dir=path.parent, prefix=".contexts-")  # for its owner alone
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.write(document.as_string())
                file.flush()
                os.fsync(number)
            Path(partial).replace(path)
        except OSError as error:
            raise ConfigError(f"contexts in {self.path} can't be written: {reason(error)}") from None

    def __repr__(self) -> str:
        return f"<ContextFile {self.path}>"


def complete_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of contexts, for the Tab key; none if they can't be read."""
    try:
        contexts = ContextFile().read().contexts
    except BusError:
        return []
    return [
        CompletionItem(name, help=context.host) for name, context in contexts.items() if name.startswith(incomplete)
    ]


def _default_path() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME", "")
    folder = Path(home) if Path(home).is_absolute() else Path("~/.config").expanduser()
    return folder / "bus" / "contexts.toml"


def _table() -> Any:
    import tomlkit

    return tomlkit.table(is_super_table=True)
