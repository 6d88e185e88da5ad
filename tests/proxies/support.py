"""The proxies of the operations page, each in its own process in front of a server, set up as the page says."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep

import trustme

from tests.support import PATIENCE, Listening

SETUPS = Path(__file__).parents[2] / "deploy" / "proxies"
CERTIFICATES = "/etc/ssl/bus"
ROOT = "/srv/www"


@dataclass(frozen=True, slots=True)
class Kind:
    """How one proxy is run: its setup, what a complete setup has around it, and its command."""

    setup: Path
    around: Callable[[Path], tuple[str, str]]
    command: Callable[[Path], list[str]]


def _around_nginx(directory: Path) -> tuple[str, str]:
    return (
        f"daemon off; pid {directory}/pid; error_log stderr; worker_processes 1; events {{ }}\n"
        f"http {{ access_log off; include /etc/nginx/mime.types;\n"
        f"client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;\n"
        f"fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;\n",
        "}\n",
    )


def _nginx(file: Path) -> list[str]:
    return ["nginx", "-e", "stderr", "-c", str(file)]


SITE = Kind(SETUPS / "site.conf", _around_nginx, _nginx)

KINDS: Mapping[str, Kind] = {
    "nginx": Kind(SETUPS / "nginx.conf", _around_nginx, _nginx),
    "haproxy": Kind(SETUPS / "haproxy.cfg", lambda _: ("", ""), lambda file: ["haproxy", "-db", "-f", str(file)]),
    "caddy": Kind(
        SETUPS / "Caddyfile",
        lambda _: ("{\n\tadmin off\n\tauto_https off\n}\n", ""),
        lambda file: ["caddy", "run", "--adapter", "caddyfile", "--config", str(file)],
    ),
}


OIDC: Mapping[str, Kind] = {
    "nginx": Kind(SETUPS / "oidc-nginx.conf", _around_nginx, _nginx),
    "caddy": Kind(SETUPS / "oidc.Caddyfile", KINDS["caddy"].around, KINDS["caddy"].command),
}
"""Those that let a proxy for OpenID Connect say who asks."""


def free_port() -> int:
    """A port of 127.0.0.1 nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@dataclass(slots=True)
class Proxy:
    """A proxy in front of *server*, running from `start` to `stop`, in the clear and over TLS.

    *timeout* takes the place of the page's 60 s, where a proxy has a limit for silence at all;
    *root* has the pages of `SITE`; *sign_in* is the port of who signs people in for `OIDC`.
    """

    kind: Kind
    server: Listening
    directory: Path
    authority: trustme.CA
    timeout: str = "60s"
    root: Path | None = None
    sign_in: int = 4180
    port: int = field(default_factory=free_port)
    tls_port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        return f"https://127.0.0.1:{self.tls_port}"

    def start(self) -> None:
        """Start it and wait until both ports take connections. Raises `AssertionError` if it ends instead."""
        self.directory.mkdir(exist_ok=True)
        self._write_certificates()
        file = self.directory / self.kind.setup.name
        file.write_text(self._setup())
        with (self.directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                self.kind.command(file),
                cwd=self.directory,
                env={**_with_sbin(), "XDG_DATA_HOME": str(self.directory), "XDG_CONFIG_HOME": str(self.directory)},
                stdout=log,
                stderr=log,
                process_group=0,
            )
        self._wait_for(self.port)
        if "8443" in self.kind.setup.read_text():
            self._wait_for(self.tls_port)

    def stop(self) -> None:
        """End it at once, as a crash does; its connections break."""
        if self._process:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(PATIENCE)
            self._process = None

    def _setup(self) -> str:
        text = self.kind.setup.read_text()
        own = {
            "127.0.0.1:2021": f"127.0.0.1:{self.server.port}",
            "127.0.0.1:4180": f"127.0.0.1:{self.sign_in}",
            "8080": str(self.port),
            "8443": str(self.tls_port),
            CERTIFICATES: str(self.directory),
            ROOT: str(self.root),
            "60s": self.timeout,
        }
        for shown, used in own.items():
            text = text.replace(shown, used)
        before, after = self.kind.around(self.directory)
        return f"{before}{text}{after}"

    def _write_certificates(self) -> None:
        issued = self.authority.issue_cert("127.0.0.1")
        issued.private_key_and_cert_chain_pem.write_to_path(str(self.directory / "both.pem"))
        issued.private_key_pem.write_to_path(str(self.directory / "key.pem"))
        for part, chain in enumerate(issued.cert_chain_pems):
            chain.write_to_path(str(self.directory / "cert.pem"), append=part > 0)

    def _wait_for(self, port: int) -> None:
        deadline = monotonic() + PATIENCE
        while True:
            assert self._process and self._process.poll() is None, (self.directory / "log").read_text()
            assert monotonic() < deadline, f"nobody listens on {port}"
            try:
                socket.create_connection(("127.0.0.1", port), PATIENCE).close()
                return
            except ConnectionRefusedError:
                sleep(0.02)


def _with_sbin() -> dict[str, str]:
    """The environment with the directories of system commands, which not everyone's PATH has."""
    return {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}


def is_installed(name: str) -> bool:
    """Whether there is a command of this name."""
    return shutil.which(name, path=_with_sbin()["PATH"]) is not None
