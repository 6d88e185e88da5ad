"""What is asked of Bus over HTTP: one file for each kind of request."""
