"""The client over blocking sockets, for threads."""
