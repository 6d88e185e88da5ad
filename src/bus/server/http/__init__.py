"""HTTP/1.1: bytes to requests, and answers back, within limits. Nothing here knows what Bus is."""
