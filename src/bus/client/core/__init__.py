"""What a client knows about Bus, without a socket, a thread or an event loop.

    draft            what a publisher says      →  JSON
    credentials      who asks                   →  header lines
    request          what is asked              →  bytes
    response         bytes                      →  one HTTP answer
    outcomes         an HTTP answer             →  receipts, payloads and errors
    publish_batch    events of one request      →  an outcome for each, or again
    retry            an error                   →  again after a while, or give up

    get_options      what a subscriber asks for →  parameters
    source_state     what the shells' connections feed: a subscription, or a server that is watched
    stream           one subscription over as many connections as it takes
    watch            what a server counts, over as many connections as it takes
    stream_reader    bytes of a subscription    →  events (decode) and what is said between them (stream_notices)
    resume_position  how far a subscription is  →  where its next connection goes on
    delivery         an event in a subscriber's hands, and what can be said about it
    late_acks        what could not be said, and is when the event comes again

    worker_plan      what a handler does        →  what is said
    jobs             what a worker has begun, and whether it may still begin what came
    signals, forks   what happens to the process

Both shells, ``bus.client.aio`` and ``bus.client.blocking``, move bytes between these and the network.
"""
