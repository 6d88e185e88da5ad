"""The work that servers are given."""
