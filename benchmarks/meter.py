"""Who used the processor while something was measured."""

from __future__ import annotations

import resource
import time

from benchmarks.servers import Server
from benchmarks.stats import Figures


class Meter:
    """Takes time and processor time from its making, or its restart, until `figures` is called."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.restart()

    def restart(self) -> None:
        """Forget what was taken."""
        self._began, self._used, self._served = time.perf_counter(), _used_here(), self._server.cpu

    def figures(self, events: float) -> Figures:
        """``rate`` per second, the shares of a processor that server and load used, and the server's memory in MB."""
        seconds = time.perf_counter() - self._began
        served, used = self._server.cpu - self._served, _used_here() - self._used
        return {
            "rate": round(events / seconds, 1),
            "server_cpu": round(100 * served / seconds, 1),
            "load_cpu": round(100 * used / seconds, 1),
            "server_us": round(1e6 * served / events, 2) if events else 0.0,
            "load_us": round(1e6 * used / events, 2) if events else 0.0,
            "rss": self._server.megabytes,
        }


def _used_here() -> float:
    """Processor seconds of this process and of the generators that it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
