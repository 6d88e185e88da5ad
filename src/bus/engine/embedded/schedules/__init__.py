"""Scheduled events: kept on disk until they are due, then appended to the log, once."""
