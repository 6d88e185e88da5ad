"""Durable consumers on JetStream: records that every Bus server knows, and leases that one holds."""
