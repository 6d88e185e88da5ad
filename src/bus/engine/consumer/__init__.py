"""Delivering with acknowledgements: who has which event, how often, and what becomes of it."""
