"""Events on the way between data directories, servers and files: what the commands do, without a terminal."""
