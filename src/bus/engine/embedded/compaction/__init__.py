"""Compaction: of the events that stand for the same thing, the newest is kept."""
