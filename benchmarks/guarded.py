"""What a token, TLS and a proxy cost: processor time of a publish, of all processes that serve it.

    python -m benchmarks.guarded          100 rounds
    python -m benchmarks.guarded 20

All servers run all the time. In each round 32 connections that are kept publish some events in each way, twice,
and each figure is set beside that of plain HTTP in the same round, so that whatever else the machine does falls on all
alike; medians are shown. Events are stored under ``fsync=never``, so that the disk isn't measured.
"""

from __future__ import annotations

import socket
import ssl
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import trustme

from benchmarks.servers import Server, free_port, serving, work_directory
from bus.access.tables import TokenTable
from bus.access.token import hash_of, new_token
from bus.access.token_document import TokenDocument

CONNECTIONS = 32
TURNS = 20
"""Events that each connection publishes in a round."""

WARM_ROUNDS = 5

_BODY = b'{"subject":"app.test","payload":{"user":"123","name":"Alice Wonder","n":12345}}'

_NGINX = """
daemon off; pid nginx.pid; error_log stderr; worker_processes 1; events {{ }}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    upstream bus {{ server 127.0.0.1:{bus}; keepalive 64; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate cert.pem; ssl_certificate_key key.pem;
        keepalive_requests 100000000;
        location / {{
            proxy_pass http://bus; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_request_buffering off; proxy_buffering off;
        }}
    }}
}}
"""


class Way:
    """One way to publish to *server*: over *tls* or in the clear, with *token* if there is one.

    *behind* are the servers that serve it besides.
    """

    def __init__(self, server: Server, *behind: Server, tls: ssl.SSLContext | None = None, token: str = "") -> None:
        self._processes = [process for each in (server, *behind) for process in _with_workers(each.process)]
        self._connections = [_connect(server.port, tls) for _ in range(CONNECTIONS)]
        shown = f"Authorization: Bearer {token}\r\n" if token else ""
        head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n{shown}Content-Length: {len(_BODY)}\r\n\r\n"
        self._request = head.encode() + _BODY

    def publish(self) -> float:
        """Publish, and return the microseconds of processor time that one took. Raises `RuntimeError` for a refusal."""
        before = self._used
        for _ in range(TURNS):
            for connection in self._connections:
                connection.sendall(self._request)
            for connection in self._connections:
                if not (answer := connection.recv(65536)).startswith(b"HTTP/1.1 202 "):
                    raise RuntimeError(f"a publish was refused: {answer[:200]!r}")
        return (self._used - before) / 1000 / (TURNS * CONNECTIONS)

    def close(self) -> None:
        """Hang up."""
        for connection in self._connections:
            connection.close()

    @property
    def _used(self) -> int:
        """Nanoseconds that the threads of all processes have used (proc(5), schedstat)."""
        tasks = [task for each in self._processes for task in Path(f"/proc/{each.pid}/task").iterdir()]
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def _with_workers(process: psutil.Process) -> Sequence[psutil.Process]:
    return process, *process.children(recursive=True)


def _connect(port: int, tls: ssl.SSLContext | None) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return tls.wrap_socket(connection, server_hostname="127.0.0.1") if tls else connection


@contextmanager
def _bus(*flags: str) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "bus", "server", "--addr", f"127.0.0.1:{port}", "--namespaces", "app"]
    with work_directory(None) as directory, serving([*command, "--fsync", "never", *flags], port, directory) as found:
        yield found


@contextmanager
def _nginx(bus: Server, certificates: Path) -> Iterator[Server]:
    port = free_port()
    (certificates / "nginx.conf").write_text(_NGINX.format(bus=bus.port, port=port))
    command = ["nginx", "-e", "stderr", "-p", str(certificates), "-c", "nginx.conf"]
    with serving(command, port, certificates) as found:
        yield found


@contextmanager
def ways() -> Iterator[dict[str, Way]]:
    """Each way by its name, the plain one first, as long as its servers run."""
    authority, token = trustme.CA(), new_token()
    tls = ssl.create_default_context()
    authority.configure_trust(tls)
    with ExitStack() as stack:
        directory = stack.enter_context(work_directory(None))
        certificate, key, tokens = (directory / name for name in ("cert.pem", "key.pem", "tokens.toml"))
        issued = authority.issue_cert("127.0.0.1")
        issued.cert_chain_pems[0].write_to_path(str(certificate))
        issued.private_key_pem.write_to_path(str(key))
        TokenDocument(tokens).add("one", TokenTable(hash=hash_of(token), publish=["app.>"]))
        plain, behind = stack.enter_context(_bus()), stack.enter_context(_bus())
        asking = stack.enter_context(_bus("--auth", str(tokens)))
        secure = stack.enter_context(_bus("--tls-cert", str(certificate), "--tls-key", str(key)))
        nginx = stack.enter_context(_nginx(behind, directory))
        found = {
            "plain HTTP": Way(plain),
            "plain HTTP with a token": Way(asking, token=token),
            "TLS in the server": Way(secure, tls=tls),
            "TLS in nginx, plain HTTP from there": Way(nginx, behind, tls=tls),
        }
        for way in found.values():
            stack.callback(way.close)
        yield found


def _round(found: Mapping[str, Way]) -> dict[str, float]:
    """What each way took, in one order and in the other."""
    there = {name: way.publish() for name, way in found.items()}
    back = {name: way.publish() for name, way in reversed(list(found.items()))}
    return {name: (there[name] + back[name]) / 2 for name in found}


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with ways() as found:
        for _ in range(WARM_ROUNDS):
            for way in found.values():
                way.publish()
        measured = [_round(found) for _ in range(rounds)]
    print("| | processor time of a publish | beside plain HTTP |\n|---|---|---|")
    for name in found:
        used = statistics.median(one[name] for one in measured)
        beside = statistics.median(one[name] / one["plain HTTP"] for one in measured)
        print(f"| {name} | {used:.1f} µs | {beside:.2f} |")


if __name__ == "__main__":
    main()
