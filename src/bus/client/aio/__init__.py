"""The client on an asyncio event loop.

    client ──▶ calls ──┬──▶ batching ──────▶ connection                  puts and acknowledgements that travel together
                       └──▶ stream, watch ─▶ event_source ─▶ connection  deliveries, and what a server counts
    worker ──▶ work_loop ──▶ handling, stream

What callers see (client, worker, delivery, watch), and what a worker says of its events (handling), is the source of
its twin in ``bus.client.blocking``: ``tools/generate_blocking.py`` writes that.
"""
