"""What a client knows about Bus, without a socket, a thread or an event loop.

    draft          what a publisher says      →  JSON
    request        what is asked              →  bytes
    response       bytes                      →  one HTTP answer
    answer         an HTTP answer             →  receipts, payloads and errors
    retry          an error                   →  again after a while, or give up
    query          what a subscriber asks for →  parameters
    reading        bytes of a subscription    →  events (decode) and what is said between them (notice)
    position       how far a subscription is  →  where its next connection goes on
    stream         one subscription over as many connections as it takes
    delivery       an event in a subscriber's hands, and what can be said about it
    late           what could not be said, and is when the event comes again
    jobs           what a worker has begun, and whether it may still begin what came
    work           what a handler does        →  what is said
    signals, forks what happens to the process

Both shells, ``bus.client.blocking`` and ``bus.client.aio``, move bytes between these and the network.
"""
