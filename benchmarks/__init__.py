"""Bus beside its peers: the same work, in turn, on one machine, in one run."""
