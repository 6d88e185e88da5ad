"""The dashboard: the page that a server shows of itself.

Its files are in ``page``, as a browser takes them; they are served by `bus.server.api.dashboard`. What others wrote of
them is in ``page/vendor``, unchanged, with where it is from.
"""
