"""The client over blocking sockets, for threads.

    client ──▶ calls ──┬──▶ connection ──▶ dial
                       ├──▶ batching ────▶ connection   many independent events, request by request
                       └──▶ stream ──────▶ connection   deliveries
    worker ──▶ work_loop ──▶ handling, stream

client, worker, delivery and handling are generated from ``bus.client.aio``.
"""
