"""Reading a namespace at a pace of one's own: from a start, chunk by chunk, until the tail is reached."""
