"""Durable consumers of the embedded engine: what is known of them, kept, told and changed."""
