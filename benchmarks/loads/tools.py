"""The load generators that people have: wrk for HTTP, redis-benchmark for Redis."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.meter import Meter
from benchmarks.peers.base import Running
from benchmarks.peers.redis import KEY
from benchmarks.servers import PeerError
from benchmarks.stats import Figures
from benchmarks.wires import LoadError

WARM = 2000
"""Commands by which redis-benchmark finds out how many it takes to last."""

_SCRIPT = """
wrk.method = "POST"
wrk.path = [=[{path}]=]
wrk.body = [=[{body}]=]
wrk.headers["Content-Type"] = "application/json"
function done(summary, latency)
  local refused = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout
  io.write(string.format('\\n{{"answers":%d,"refused":%d,"p50":%.4f,"p99":%.4f,"p999":%.4f}}\\n',
    summary.requests, refused,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency:percentile(99.9) / 1000))
end
"""


def wrk(running: Running, seconds: float, body: bytes, *, connections: int, path: str = "/") -> Figures:
    """POST *body* from *connections* connections that wait. Raises `LoadError` if any request is refused."""
    with TemporaryDirectory() as directory:
        script = Path(directory) / "post.lua"
        script.write_text(_SCRIPT.format(path=path, body=body.decode()))
        options = ["-t1", f"-c{connections}", f"-d{max(round(seconds), 1)}s", "--timeout", "30s", "-s", str(script)]
        meter = Meter(running.server)
        printed = _run(["wrk", *options, f"http://127.0.0.1:{running.port}/"])
    found = json.loads(printed.strip().splitlines()[-1])
    if found["refused"]:
        raise LoadError(f"wrk: {found['refused']} of {found['answers']} requests failed")
    figures = meter.figures(found["answers"])
    return figures | {name: found[name] for name in ("p50", "p99", "p999")}


def redis_benchmark(running: Running, seconds: float, event: bytes, *, connections: int) -> Figures:
    """XADD *event* from *connections* connections, for about *seconds*."""
    options = ["-p", str(running.port), "-c", str(connections), "--csv"]
    events = max(round(_rate(options, WARM, event)["rps"] * seconds), WARM)
    meter = Meter(running.server)
    row = _rate(options, events, event)
    figures = meter.figures(events)
    return figures | {"p50": row["p50_latency_ms"], "p99": row["p99_latency_ms"]}


def _rate(options: Sequence[str], events: int, event: bytes) -> dict[str, float]:
    words = ["XADD", KEY.decode(), "*", "e", event.decode()]
    printed = _run(["redis-benchmark", *options, "-n", str(events), *words])
    head, *_, last = printed.strip().splitlines()
    # The first column is the command, in which quotes and commas are not escaped.
    names = head.replace('"', "").split(",")[1:]
    figures = last.rsplit(",", len(names))[1:]
    return {name: float(figure.strip('"')) for name, figure in zip(names, figures, strict=True)}


def _run(command: Sequence[str]) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except OSError as error:
        raise PeerError(f"could not run: {command[0]}: {error.strerror}") from None
    except subprocess.CalledProcessError as error:
        raise LoadError(f"{command[0]}: {(error.stderr or error.stdout).strip()}") from None
