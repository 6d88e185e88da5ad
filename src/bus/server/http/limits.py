"""What one client may take of the server, and what each limit is there for."""

from __future__ import annotations

REQUEST_LINE_BYTES = 8 * 1024
"""A longer request line is answered 414."""

HEAD_BYTES = 32 * 1024
"""Request line and headers together; more is answered 431, so a client can't fill memory with headers."""

HEADERS = 100
"""More headers are answered 431: each costs a call."""

CHUNK_LINE_BYTES = 256
"""Size line of a chunk with its extensions, which are ignored and so needn't be long."""

TRAILER_BYTES = 8 * 1024
"""Trailers are dropped, but read until they end."""

UNPACKED_BYTES = 64 * 1024
"""Bytes of a compressed body unpacked in one turn of the loop, a fraction of a millisecond's work."""

PIPELINE_DEPTH = 64
"""Requests of one connection that may wait for their answers; further ones stay in the socket."""

REQUESTS_A_TURN = 64
"""Requests of one connection that are taken before others have their turn; each beside ``/`` counts as all of them, and
one with a long query as several."""

LONG_QUERY = 256
"""Bytes of a query that count as one request more: an acknowledgement may name as many events as fit into a line."""

ANSWERS_TOGETHER = 32
"""Answers that wait for each other to go out in one write, so that a client that reads none is noticed."""

CHUNKS_A_TURN = 512
"""Chunks of one body that are decoded before others have their turn: each may be a byte."""

UPLOAD_LINES = 16_384
"""Lines of an NDJSON upload that may wait to be stored or refused; further ones stay in the socket."""

UPLOAD_LINES_A_TURN = 1024
"""Lines of all uploads together that are taken before others have their turn; a long line counts as several."""

UPLOAD_BYTES = 16 * 1024 * 1024
"""Bytes of all uploads together that may wait to be stored: a quarter of what a namespace gathers, so that uploads
never have other publishers refused."""

UPLOAD_SHARE = 8
"""The receipts that one upload doesn't take may fill so much of ``--max-body-memory``: an eighth."""

SMALL_BODY = 64 * 1024
"""A body up to this size finds room even if large ones have used up ``--max-body-memory``: the largest gives way.
A larger one is handled when its turn comes, one in each turn of the loop."""

UNREAD_BYTES = 256 * 1024 * 1024
"""Answers that all clients together don't take; whoever adds to them then is hung up on."""

UNREAD_SECONDS = 300.0
"""Without a byte taken of an answer."""

RESERVED_CONNECTIONS = 16
"""Connections beyond the limit that are asked what they want, because it may be the server's health."""

RESERVED_SECONDS = 1.0
"""Time they have to say so."""

WRITE_HIGH_WATER = 256 * 1024
"""Unsent bytes of a connection above which nothing more is produced for it."""

WRITE_LOW_WATER = 64 * 1024

HEAD_SECONDS = 10.0
"""From the first byte of a request to the end of its headers: slow senders fall off (slowloris)."""

BODY_SECONDS = 60.0
"""From the headers to the end of a body, except an NDJSON upload's."""

UPLOAD_IDLE_SECONDS = 300.0
"""Without a byte of an NDJSON upload."""

IDLE_SECONDS = 75.0
"""Between requests on a kept connection."""

LINGER_SECONDS = 5.0
"""After a refusal, for reading on and dropping what still comes: closing at once resets the connection, and
the reset overtakes the answer."""

WAIT_SECONDS = 60.0
"""Longest ``timeout`` of a request that waits for a reply or for confirmations."""

KEEPALIVE_IDLE = 30
KEEPALIVE_INTERVAL = 10
KEEPALIVE_PROBES = 3
"""Seconds of silence before the kernel asks whether the peer is still there, seconds between its questions, and how
many go unanswered: a peer that lost power or its network is noticed after a minute, and others get its deliveries."""

USER_TIMEOUT_MS = 60_000
"""How long what was sent may go unacknowledged by the peer's kernel. Keepalive doesn't ask while something is under
way, and retransmission alone gives up after a quarter of an hour."""

SWEEP_SECONDS = 0.5
"""How often deadlines and files are looked at: one timer for all connections instead of one for each request.

A revoked token counts no more within a second, so half of that is left for reading the file and judging streams."""

KEEPALIVE_SECONDS = 30
"""Of silence on a stream after which the kernel asks whether its client is still there, three times, 10 s apart."""

UNTAKEN_SECONDS = 300
"""For which a client may take none of what was sent on a stream, before the kernel hangs up."""

RETENTION_SECONDS = 5.0
"""How often segments are looked at that needn't be kept any more."""

LISTEN_BACKLOG = 4096
"""Connections the kernel holds until they are accepted."""
