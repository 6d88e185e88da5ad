"""The heartbeat: who pings streams on which nothing has been sent for a while, so that both ends know they live."""

from __future__ import annotations

from bus.server.api.stream_sink import StreamSink
from bus.server.http.responder import Carrier


class Heartbeat:
    """The open streams by their connections, each to be pinged every *seconds*."""

    def __init__(self, seconds: float) -> None:
        self.streams: dict[Carrier, StreamSink] = {}
        self.seconds = seconds

    def begin(self, sink: StreamSink, *, now: float) -> None:
        """*sink* is open, and first pinged when its connection's deadline has come."""
        self.streams[sink.connection] = sink
        sink.connection.deadline = now + self.seconds

    def beat(self, connection: Carrier, *, now: float) -> bool:
        """Ping the stream of *connection*, whose deadline has come; False if it has no stream."""
        sink = self.streams.get(connection)
        if sink is None:
            return False
        sink.ping()
        connection.deadline = now + self.seconds
        return True

    def end(self, connection: Carrier) -> None:
        """*connection* is gone."""
        self.streams.pop(connection, None)

    def __repr__(self) -> str:
        return f"<Heartbeat of {len(self.streams)} streams, each {self.seconds:g} s>"
