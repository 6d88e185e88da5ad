"""What a client knows about Bus, without a socket, a thread or an event loop.

    draft          what a publisher says      →  JSON
    request        what is asked              →  bytes
    response       bytes                      →  one HTTP answer
    answer         an HTTP answer             →  receipts, payloads and errors
    retry          an error                   →  again after a while, or give up
    query          what a subscriber asks for →  parameters
    notice         what the server says about a stream, between the events
    stream         bytes of a subscription    →  events, and where to go on after a break
    delivery       an event in a subscriber's hands, and what can be said about it

Both shells, ``bus.client.blocking`` and ``bus.client.aio``, move bytes between these and the network.
"""
