"""The client over blocking sockets, for threads.

    client ──▶ calls ──┬──▶ connection ────▶ dial
                       ├──▶ batching ──────▶ connection                  many independent events, request by request
                       └──▶ stream, watch ─▶ event_source ─▶ connection  deliveries, and what a server counts
    worker ──▶ work_loop ──▶ handling, stream

client, worker, delivery, watch and handling are generated from ``bus.client.aio``.
"""
