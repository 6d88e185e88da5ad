"""The engine that stores and delivers by itself: a log for each namespace, in one directory."""
